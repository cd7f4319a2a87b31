-- Jobs of sweep ?1 that are not over, and that no live sweep needs, are cancelled at ?2.
-- Indexes: primary key of sweep_jobs, sweep_jobs_by_job.
UPDATE jobs
SET state = 'cancelled', finished_at = ?2, expires_at = NULL, fraction = 0, progress = ''
WHERE
    id IN (SELECT sj.job FROM sweep_jobs AS sj WHERE sj.sweep = ?1)
    AND state IN ('queued', 'leased')
    AND NOT EXISTS (
        SELECT 1
        FROM sweep_jobs AS sj
        INNER JOIN sweeps AS s ON s.id = sj.sweep
        WHERE sj.job = jobs.id AND s.cancelled_at IS NULL
    );
