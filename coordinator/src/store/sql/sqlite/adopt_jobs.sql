-- Jobs that sweep ?1 needs and that wait in the name of one that is cancelled, held back or of lower priority wait in its
-- name, unless it is held back itself. Indexes: primary keys of sweep_jobs, jobs and sweeps.
UPDATE jobs
SET sweep = ?1
WHERE
    id IN (SELECT sj.job FROM sweep_jobs AS sj WHERE sj.sweep = ?1)
    AND state IN ('queued', 'leased')
    AND sweep <> ?1
    AND EXISTS (
        SELECT 1
        FROM sweeps AS o
        INNER JOIN sweeps AS n ON n.id = ?1
        WHERE
            o.id = jobs.sweep
            AND n.cancelled_at IS NULL
            AND (
                o.cancelled_at IS NOT NULL
                OR (n.paused_at IS NULL AND (o.paused_at IS NOT NULL OR o.priority < n.priority))
            )
    );
