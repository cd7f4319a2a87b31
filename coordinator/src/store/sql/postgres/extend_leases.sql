-- Leases in $1 (JSON array of {job, attempt, fraction, text}) that worker $3 holds last until $2. Index: primary key of jobs.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
WITH said AS MATERIALIZED (
    SELECT j.id, v.fraction, v.text
    FROM json_to_recordset($1::json) AS v (job bigint, attempt bigint, fraction double precision, text text)
    INNER JOIN jobs AS j ON j.id = v.job
    WHERE j.attempt = v.attempt AND j.expires_at IS NOT NULL AND j.worker = $3
    ORDER BY j.id
    FOR NO KEY UPDATE OF j
)

UPDATE jobs
SET expires_at = $2, fraction = said.fraction, progress = said.text
FROM said
WHERE jobs.id = said.id
RETURNING jobs.id, jobs.attempt;
