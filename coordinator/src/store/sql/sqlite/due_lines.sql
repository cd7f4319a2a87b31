-- The oldest lines of run ?1 in sweep ?4 that are due at ?2, at most ?3, each of which costs at most ?5 and did not fail lately
-- on ?6 (JSON array of worker ids), as claim_lines will leave them: one JSON array, which costs less than rows do.
-- Index: jobs_queue_of_run.
SELECT json_group_array(json_array(due.id, due.attempt + 1, due.run, due.line, due.points))
FROM (
    SELECT j.id, j.attempt, j.run, j.line, j.points
    FROM jobs AS j
    WHERE
        j.run = ?1
        AND j.sweep = ?4
        AND j.kind = 'line'
        AND j.state = 'queued'
        AND j.ready = 1
        AND j.due_at <= ?2
        AND j.cost <= ?5
        AND NOT (j.failures > 0 AND j.worker IN (SELECT v.value FROM json_each(?6) AS v))
    ORDER BY j.id
    LIMIT ?3
) AS due;
