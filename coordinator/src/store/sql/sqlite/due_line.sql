-- The run of the oldest line of sweep ?2 due at ?1 that costs at most ?3 and did not fail lately on ?4 (worker ids).
-- Index: jobs_queue.
SELECT run
FROM jobs
WHERE
    sweep = ?2
    AND kind = 'line'
    AND state = 'queued'
    AND ready = 1
    AND due_at <= ?1
    AND cost <= ?3
    AND NOT (failures > 0 AND worker IN (SELECT v.value FROM json_each(?4) AS v))
ORDER BY id
LIMIT 1;
