-- Attempts in $1 (JSON array of {job, attempt, points}) have that many points more, so they are alive.
-- Index: primary key of jobs.
UPDATE jobs
SET points = jobs.points + v.points, lost = 0
FROM json_to_recordset($1::json) AS v (job bigint, attempt bigint, points bigint)
WHERE jobs.id = v.job AND jobs.attempt = v.attempt AND jobs.state = 'leased';
