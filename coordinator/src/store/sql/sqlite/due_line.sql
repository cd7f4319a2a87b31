-- The run of the oldest line due at ?1. Index: jobs_queue.
SELECT run
FROM jobs
WHERE kind = 'line' AND state = 'queued' AND ready = 1 AND due_at <= ?1
ORDER BY id
LIMIT 1;
