-- Numbers of whole lines, where the attempt holds its job: $1 JSON array of {job, attempt, split (empty for none), name,
-- value}, $2 worker. One that is there stays as it is. Index: primary keys of jobs and measures.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO measures (job, split, name, value, worker)
SELECT j.id, v.split, v.name, v.value, $2
FROM json_to_recordset($1::json) AS v (split text, name text, value double precision, job bigint, attempt bigint)
INNER JOIN jobs AS j ON j.id = v.job
WHERE j.attempt = v.attempt AND j.expires_at IS NOT NULL
ON CONFLICT (job, split, name) DO NOTHING;
