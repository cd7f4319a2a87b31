-- Live sweeps with a job that is due at $1.
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
        FROM (VALUES ('line'), ('train')) AS k (kind)
        CROSS JOIN LATERAL (
            SELECT j.id
            FROM jobs AS j
            WHERE j.sweep = s.id AND j.kind = k.kind AND j.state = 'queued' AND j.ready AND j.due_at <= $1
            ORDER BY j.id + 0
            LIMIT 1
        ) AS head
    )
ORDER BY s.id;
