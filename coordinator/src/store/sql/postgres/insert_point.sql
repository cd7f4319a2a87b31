-- A point, if attempt $2 holds job $1: $3 split, $4 place, $5 alpha, $6 loss, $7 accuracy, $8 count, $9 worker.
-- One that is there stays as it is. Index: primary keys of jobs and points.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO points (job, split, place, alpha, loss, accuracy, count, worker)
SELECT j.id, $3, $4, $5, $6, $7, $8, $9
FROM jobs AS j
WHERE j.id = $1 AND j.attempt = $2 AND j.expires_at IS NOT NULL
ON CONFLICT (job, split, place) DO NOTHING;
