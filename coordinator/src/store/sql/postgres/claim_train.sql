-- Worker $1 leases the oldest training job that is due at $2, until $3; what others are leasing right now is passed over.
-- Index: jobs_queue.
WITH picked AS MATERIALIZED (
    SELECT j.id
    FROM jobs AS j
    WHERE j.kind = 'train' AND j.state = 'queued' AND j.ready AND j.due_at <= $2
    ORDER BY j.id
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE jobs
SET
    state = 'leased', attempt = attempt + 1, worker = $1, started_at = $2, expires_at = $3, fraction = 0, progress = ''
FROM picked
WHERE jobs.id = picked.id
RETURNING jobs.id, jobs.attempt, jobs.run;
