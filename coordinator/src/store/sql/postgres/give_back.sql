-- Jobs that worker $1 holds are queued again at $2. Index: jobs_leased.
WITH held AS MATERIALIZED (
    SELECT j.id
    FROM jobs AS j
    WHERE j.state = 'leased' AND j.worker = $1
    ORDER BY j.id
    FOR NO KEY UPDATE
)

UPDATE jobs
SET state = 'queued', due_at = $2, expires_at = NULL, fraction = 0, progress = ''
FROM held
WHERE jobs.id = held.id;
