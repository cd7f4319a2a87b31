-- Attempts in $1 (JSON array of {job, attempt, seconds, threads}) are complete at $2, where all their points are stored.
-- Index: primary key of jobs.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
UPDATE jobs
SET
    state = 'done', finished_at = $2, seconds = v.seconds, threads = v.threads,
    expires_at = NULL, fraction = 1, progress = '', lost = 0, error = NULL, error_class = NULL
FROM json_to_recordset($1::json) AS v (seconds double precision, threads bigint, job bigint, attempt bigint)
WHERE
    jobs.id = v.job
    AND jobs.attempt = v.attempt
    AND jobs.expires_at IS NOT NULL
    AND jobs.points = jobs.points_expected
RETURNING jobs.id;
