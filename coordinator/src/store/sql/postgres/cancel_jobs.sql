-- Jobs of sweep $1 that are not over, and that no live sweep needs, are cancelled at $2. They are locked by id, as heartbeats
-- and reports lock them. Indexes: primary key of sweep_jobs, sweep_jobs_by_job.
WITH doomed AS MATERIALIZED (
    SELECT j.id
    FROM sweep_jobs AS own
    INNER JOIN jobs AS j ON j.id = own.job
    WHERE
        own.sweep = $1
        AND j.state IN ('queued', 'leased')
        AND NOT EXISTS (
            SELECT 1
            FROM sweep_jobs AS sj
            INNER JOIN sweeps AS s ON s.id = sj.sweep
            WHERE sj.job = j.id AND s.cancelled_at IS NULL
        )
    ORDER BY j.id
    FOR NO KEY UPDATE OF j
)

UPDATE jobs
SET state = 'cancelled', finished_at = $2, expires_at = NULL, fraction = 0, progress = ''
FROM doomed
WHERE jobs.id = doomed.id;
