-- Jobs that are queued again in the name of a cancelled sweep, and that a live one needs, wait in its name: the one of
-- highest priority that is not held back, then the oldest. Indexes: primary key of sweep_jobs,
-- sweep_jobs_by_job.
UPDATE jobs
SET sweep = (
    SELECT o.id
    FROM sweep_jobs AS sj
    INNER JOIN sweeps AS o ON o.id = sj.sweep
    WHERE sj.job = jobs.id AND o.cancelled_at IS NULL
    ORDER BY o.paused_at IS NOT NULL, o.priority DESC, o.id
    LIMIT 1
)
WHERE
    id IN (
        SELECT sj.job
        FROM sweeps AS s
        INNER JOIN sweep_jobs AS sj ON sj.sweep = s.id
        WHERE s.cancelled_at IS NOT NULL
    )
    AND state = 'queued'
    AND EXISTS (SELECT 1 FROM sweeps AS s WHERE s.id = jobs.sweep AND s.cancelled_at IS NOT NULL)
    AND EXISTS (
        SELECT 1
        FROM sweep_jobs AS sj
        INNER JOIN sweeps AS o ON o.id = sj.sweep
        WHERE sj.job = jobs.id AND o.cancelled_at IS NULL
    );
