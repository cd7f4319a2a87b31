-- Jobs that sweep $1 needs and that wait in the name of one that is cancelled, held back or of lower priority wait in its
-- name, unless it is held back itself. Indexes: primary keys of sweep_jobs, jobs and sweeps.
WITH picked AS MATERIALIZED (
    SELECT j.id
    FROM sweep_jobs AS sj
    INNER JOIN jobs AS j ON j.id = sj.job
    INNER JOIN sweeps AS o ON o.id = j.sweep
    INNER JOIN sweeps AS n ON n.id = $1
    WHERE
        sj.sweep = $1
        AND j.state IN ('queued', 'leased')
        AND j.sweep <> $1
        AND n.cancelled_at IS NULL
        AND (
            o.cancelled_at IS NOT NULL
            OR (n.paused_at IS NULL AND (o.paused_at IS NOT NULL OR o.priority < n.priority))
        )
    ORDER BY j.id
    FOR NO KEY UPDATE OF j
)

UPDATE jobs
SET sweep = $1
FROM picked
WHERE jobs.id = picked.id;
