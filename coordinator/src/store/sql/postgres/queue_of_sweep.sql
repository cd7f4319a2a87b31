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
        WHERE w.sweep = s.id AND EXISTS (SELECT 1 FROM jobs AS j WHERE j.worker = w.id AND j.state = 'leased')
    ) AS workers
FROM sweeps AS s
WHERE s.id = $1 AND s.cancelled_at IS NULL;
