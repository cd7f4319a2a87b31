-- Of the runs in $1 (JSON array of digests), the one with the oldest line of sweep $3 due at $2.
-- Indexes: UNIQUE (digest) of runs, jobs_queue_of_run.
SELECT held.run
FROM (
    SELECT
        r.id AS run,
        (
            SELECT j.id
            FROM jobs AS j
            WHERE
                j.run = r.id
                AND j.sweep = $3
                AND j.kind = 'line'
                AND j.state = 'queued'
                AND j.ready
                AND j.due_at <= $2
            ORDER BY j.id + 0
            LIMIT 1
        ) AS oldest
    FROM json_array_elements_text($1::json) AS v (value)
    INNER JOIN runs AS r ON r.digest = v.value
) AS held
WHERE held.oldest IS NOT NULL
ORDER BY held.oldest
LIMIT 1;
