-- Those of jobs $1 (JSON array of ids) that wait in the name of a cancelled sweep, or of one that is held back while another
-- is not, wait in the name of another sweep that needs them: the one of highest priority that is not held back, then the
-- oldest. Indexes: primary keys of jobs and sweeps, sweep_jobs_by_job.
WITH picked AS MATERIALIZED (
    SELECT j.id
    FROM json_array_elements_text($1::json) AS v (value)
    INNER JOIN jobs AS j ON j.id = v.value::bigint
    WHERE
        j.state = 'queued'
        AND EXISTS (
            SELECT 1
            FROM sweep_jobs AS sj
            INNER JOIN sweeps AS o ON o.id = sj.sweep
            INNER JOIN sweeps AS s ON s.id = j.sweep
            WHERE
                sj.job = j.id
                AND o.cancelled_at IS NULL
                AND (s.cancelled_at IS NOT NULL OR (s.paused_at IS NOT NULL AND o.paused_at IS NULL))
        )
    ORDER BY j.id
    FOR NO KEY UPDATE OF j
)

UPDATE jobs
SET sweep = (
    SELECT o.id
    FROM sweep_jobs AS sj
    INNER JOIN sweeps AS o ON o.id = sj.sweep
    WHERE sj.job = jobs.id AND o.cancelled_at IS NULL
    ORDER BY o.paused_at IS NOT NULL, o.priority DESC, o.id
    LIMIT 1
)
FROM picked
WHERE jobs.id = picked.id;
