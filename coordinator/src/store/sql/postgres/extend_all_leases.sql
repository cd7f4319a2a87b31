-- No lease runs out before $1. Index: jobs_leased.
WITH held AS MATERIALIZED (
    SELECT j.id
    FROM jobs AS j
    WHERE j.state = 'leased' AND j.expires_at < $1
    ORDER BY j.id
    FOR NO KEY UPDATE
)

UPDATE jobs
SET expires_at = $1
FROM held
WHERE jobs.id = held.id;
