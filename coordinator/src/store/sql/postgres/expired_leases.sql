-- Leases that have run out at $1, kept for what follows. One that somebody is writing to is alive. Index: jobs_leased.
SELECT id, attempt, lost, worker
FROM jobs
WHERE state = 'leased' AND expires_at <= $1
ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED;
