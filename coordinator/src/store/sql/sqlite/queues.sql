-- Live sweeps with a job that is due at ?1.
-- Indexes: sweeps_at_work, jobs_queue.
SELECT
    s.id,
    s.priority,
    s.share,
    s.max_workers,
    s.requires,
    s.paused_at IS NOT NULL AS is_paused
FROM sweeps AS s
WHERE
    s.cancelled_at IS NULL
    AND s.rolled_up_at IS NULL
    AND EXISTS (
        SELECT 1
        FROM jobs AS j
        WHERE
            j.sweep = s.id AND j.kind IN ('line', 'train') AND j.state = 'queued' AND j.ready = 1 AND j.due_at <= ?1
    )
ORDER BY s.id;
