-- The run of the oldest line due at $1 that nobody is leasing right now; the line is kept for the claim that follows.
-- Index: jobs_queue.
SELECT run
FROM jobs
WHERE kind = 'line' AND state = 'queued' AND ready AND due_at <= $1
ORDER BY id
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED;
