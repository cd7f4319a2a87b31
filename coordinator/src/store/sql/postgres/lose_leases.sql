-- Attempts in $1 (JSON array of {job, attempt, due}) lost their leases: each job is queued again, at due. Index: primary key.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
UPDATE jobs
SET
    state = 'queued', lost = lost + 1, due_at = v.due, expires_at = NULL, fraction = 0, progress = ''
FROM json_to_recordset($1::json) AS v (job bigint, attempt bigint, due text)
WHERE jobs.id = v.job AND jobs.attempt = v.attempt AND jobs.expires_at IS NOT NULL;
