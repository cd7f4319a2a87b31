-- How sweep $1 stands. Indexes: primary keys, workers_of_sweep, jobs_leased.
SELECT
    s.name,
    s.priority,
    s.share,
    s.max_workers,
    s.requires,
    s.paused_at IS NOT NULL AS is_paused,
    (
        SELECT count(*)
        FROM workers AS w
        -- Worker by worker: a plan made while few are at work would compare each of them with each leased job.
        CROSS JOIN LATERAL (SELECT j.id FROM jobs AS j WHERE j.worker = w.id AND j.state = 'leased' LIMIT 1) AS held
        WHERE w.sweep = s.id
    ) AS workers
FROM sweeps AS s
WHERE s.id = $1 AND s.cancelled_at IS NULL;
