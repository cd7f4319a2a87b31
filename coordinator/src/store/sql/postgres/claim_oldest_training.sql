-- Worker $1 leases the oldest training of sweep $4 that is due at $2, until $3, costs at most $5, did not fail lately on
-- $6 (JSON array of worker ids), and was not begun on a device of another kind than $1's while one of that kind is there
-- (for five minutes); what others are leasing right now is passed over. Indexes: jobs_queue, primary key of snapshots, workers_like.
WITH picked AS MATERIALIZED (
    SELECT j.id
    FROM jobs AS j
    WHERE
        j.sweep = $4
        AND j.kind = 'train'
        AND j.state = 'queued'
        AND j.ready
        AND j.due_at <= $2
        AND j.cost + 0 <= $5 -- keeps to the index that is in the order of ids
        AND NOT (j.failures > 0 AND j.worker IN (SELECT v.value::bigint FROM json_array_elements_text($6::json) AS v (value)))
        AND (
            -- Those who could go on with it may have other things to do, or may not serve this sweep.
            j.due_at <= to_char(($2::text::timestamptz - interval '5 minutes') AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
            OR NOT EXISTS (SELECT 1 FROM _begun_elsewhere AS b WHERE b.run = j.run AND b.asks = $1)
        )
    ORDER BY j.id + 0
    LIMIT 1
    FOR NO KEY UPDATE OF j SKIP LOCKED
)

UPDATE jobs
SET
    state = 'leased', attempt = attempt + 1, worker = $1, started_at = $2, expires_at = $3, fraction = 0, progress = ''
FROM picked
WHERE jobs.id = picked.id
RETURNING jobs.id AS job, jobs.attempt, jobs.run, jobs.line, jobs.points;
