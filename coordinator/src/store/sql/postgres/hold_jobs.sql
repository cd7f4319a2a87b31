-- How those of the jobs in $1 (ids) are that are leased, and who leased them; they stay as they are until the transaction ends.
-- They are locked by id, as everything locks leased jobs. Index: primary key.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
SELECT j.id, j.run, j.line, j.state, j.attempt, j.failures, j.worker, j.points, j.points_expected
FROM jobs AS j
WHERE j.id = ANY ($1::bigint[]) AND j.expires_at IS NOT NULL
ORDER BY j.id
FOR NO KEY UPDATE;
