-- Live sweeps with a job that is due at $2, with the workers at work for each beside $1.
-- Indexes: sweeps_at_work, jobs_queue, workers_of_sweep, jobs_leased.
SELECT
    s.id,
    s.priority,
    s.share,
    s.max_workers,
    s.requires,
    s.paused_at IS NOT NULL AS is_paused,
    (
        SELECT count(*)
        FROM workers AS w
        CROSS JOIN LATERAL (
            SELECT j.id FROM jobs AS j WHERE j.worker = w.id AND j.state = 'leased' ORDER BY j.worker, j.expires_at LIMIT 1
        ) AS held
        WHERE w.sweep = s.id AND w.id <> $1
    ) AS workers
FROM sweeps AS s
WHERE
    s.cancelled_at IS NULL
    AND s.rolled_up_at IS NULL
    AND EXISTS (
        SELECT 1
        FROM (VALUES ('line'), ('train')) AS k (kind)
        CROSS JOIN LATERAL (
            SELECT j.id
            FROM jobs AS j
            WHERE j.sweep = s.id AND j.kind = k.kind AND j.state = 'queued' AND j.ready AND j.due_at <= $2
            ORDER BY j.id + 0
            LIMIT 1
        ) AS head
    )
ORDER BY s.id;
