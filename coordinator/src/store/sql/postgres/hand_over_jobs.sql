-- Jobs that wait in the name of sweep $1 and that another live sweep needs go over to that one: from a cancelled sweep to
-- any, from one that is held back to one that is not, from one that goes on to one of higher priority. Among several to
-- the one of highest priority, then to the oldest. Indexes: primary key of sweep_jobs, sweep_jobs_by_job.
WITH picked AS MATERIALIZED (
    SELECT j.id
    FROM sweep_jobs AS own
    INNER JOIN jobs AS j ON j.id = own.job
    WHERE
        own.sweep = $1
        AND j.sweep = $1
        AND j.state IN ('queued', 'leased')
        AND EXISTS (SELECT 1 FROM sweep_jobs AS sj WHERE sj.job = j.id AND sj.sweep <> $1)
    ORDER BY j.id
    FOR NO KEY UPDATE OF j
),

heirs AS MATERIALIZED (
    SELECT DISTINCT ON (p.id) p.id, o.id AS sweep
    FROM picked AS p
    INNER JOIN sweep_jobs AS sj ON sj.job = p.id
    INNER JOIN sweeps AS o ON o.id = sj.sweep
    INNER JOIN sweeps AS s ON s.id = $1
    WHERE
        o.id <> $1
        AND o.cancelled_at IS NULL
        AND (
            s.cancelled_at IS NOT NULL
            OR (o.paused_at IS NULL AND (s.paused_at IS NOT NULL OR o.priority > s.priority))
        )
    ORDER BY p.id, o.paused_at IS NOT NULL, o.priority DESC, o.id
)

UPDATE jobs
SET sweep = heirs.sweep
FROM heirs
WHERE jobs.id = heirs.id;
