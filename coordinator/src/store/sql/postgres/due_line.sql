-- The run of the oldest line of sweep $2 due at $1 that costs at most $3, did not fail lately on $4 (worker ids), and that
-- nobody is leasing right now; the line is kept for the claim that follows. Index: jobs_queue.
SELECT run
FROM jobs
WHERE
    sweep = $2
    AND kind = 'line'
    AND state = 'queued'
    AND ready
    AND due_at <= $1
    AND cost <= $3
    AND NOT (failures > 0 AND worker IN (SELECT v.value::bigint FROM json_array_elements_text($4::json) AS v (value)))
ORDER BY id + 0
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED;
