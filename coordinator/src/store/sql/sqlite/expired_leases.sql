-- Leases that have run out at ?1. Index: jobs_leased.
SELECT id, attempt, lost, worker
FROM jobs
WHERE state = 'leased' AND expires_at <= ?1;
