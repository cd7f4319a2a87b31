-- Whether any job may be leased at $1: a look at the head of each live sweep's queue, of which there are few. The planner would
-- rather look through all jobs for the first that is due, which takes long when none is. Indexes: sweeps_at_work, jobs_queue.
SELECT EXISTS (
    SELECT 1
    FROM sweeps AS s
    CROSS JOIN (VALUES ('line'), ('train')) AS k (kind)
    CROSS JOIN LATERAL (
        SELECT j.id
        FROM jobs AS j
        WHERE j.sweep = s.id AND j.kind = k.kind AND j.state = 'queued' AND j.ready AND j.due_at <= $1
        ORDER BY j.id + 0
        LIMIT 1
    ) AS head
    WHERE s.cancelled_at IS NULL AND s.rolled_up_at IS NULL
);
