-- Worker $1 leases the oldest lines of run $2 in sweep $6 that are due at $3, until $4, at most $5, each of which costs at
-- most $7 and did not fail lately on $8 (JSON array of worker ids); what others are leasing right now is passed over.
-- A moment is checked once, not for each job. Index: jobs_queue_of_run.
WITH picked AS MATERIALIZED (
    SELECT j.id
    FROM jobs AS j
    WHERE
        j.run = $2
        AND j.sweep = $6
        AND j.kind = 'line'
        AND j.state = 'queued'
        AND j.ready
        AND j.due_at <= $3
        AND j.cost <= $7
        AND NOT (j.failures > 0 AND j.worker IN (SELECT v.value::bigint FROM json_array_elements_text($8::json) AS v (value)))
    ORDER BY j.id + 0
    LIMIT $5
    FOR NO KEY UPDATE SKIP LOCKED
)

UPDATE jobs
SET
    state = 'leased', attempt = attempt + 1, worker = $1, started_at = (SELECT $3::moment),
    expires_at = (SELECT $4::moment), fraction = 0, progress = ''
FROM picked
WHERE jobs.id = picked.id
RETURNING jobs.id AS job, jobs.attempt, jobs.run, jobs.line, jobs.points;
