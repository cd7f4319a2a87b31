-- A number of a whole line, if attempt $2 holds job $1: $3 split (empty for none), $4 name, $5 value, $6 worker.
-- One that is there stays as it is. Index: primary keys of jobs and measures.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO measures (job, split, name, value, worker)
SELECT j.id, $3, $4, $5, $6
FROM jobs AS j
WHERE j.id = $1 AND j.attempt = $2 AND j.expires_at IS NOT NULL
ON CONFLICT (job, split, name) DO NOTHING;
