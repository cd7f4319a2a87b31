-- No lease runs out before ?1. Index: jobs_leased.
UPDATE jobs
SET expires_at = max(expires_at, ?1)
WHERE state = 'leased';
