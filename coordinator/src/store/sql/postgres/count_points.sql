-- Attempts in $1 (JSON array of {job, attempt, points}) have that many points more, so they are alive.
-- Index: primary key of jobs.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
UPDATE jobs
SET points = jobs.points + v.points, lost = 0
FROM json_to_recordset($1::json) AS v (job bigint, attempt bigint, points bigint)
WHERE jobs.id = v.job AND jobs.attempt = v.attempt AND jobs.expires_at IS NOT NULL;
