-- Jobs that wait in the name of sweep ?1 and that another live sweep needs go over to that one: from a cancelled sweep to
-- any, from one that is held back to one that is not, from one that goes on to one of higher priority. Among several to
-- the one of highest priority, then to the oldest. Indexes: primary key of sweep_jobs, sweep_jobs_by_job.
UPDATE jobs
SET sweep = coalesce(
    (
        SELECT o.id
        FROM sweep_jobs AS sj
        INNER JOIN sweeps AS o ON o.id = sj.sweep
        INNER JOIN sweeps AS s ON s.id = ?1
        WHERE
            sj.job = jobs.id
            AND o.id <> ?1
            AND o.cancelled_at IS NULL
            AND (
                s.cancelled_at IS NOT NULL
                OR (o.paused_at IS NULL AND (s.paused_at IS NOT NULL OR o.priority > s.priority))
            )
        ORDER BY o.paused_at IS NOT NULL, o.priority DESC, o.id
        LIMIT 1
    ),
    sweep
)
WHERE
    id IN (SELECT sj.job FROM sweep_jobs AS sj WHERE sj.sweep = ?1)
    AND sweep = ?1
    AND state IN ('queued', 'leased')
    AND EXISTS (SELECT 1 FROM sweep_jobs AS sj WHERE sj.job = jobs.id AND sj.sweep <> ?1);
