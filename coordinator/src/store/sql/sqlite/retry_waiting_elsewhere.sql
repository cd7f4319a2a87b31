-- Jobs of other live sweeps that failed with a training job of sweep ?1 which is queued again are queued again at ?2.
-- Indexes: primary key of sweep_jobs, jobs_blocked, sweep_jobs_by_job.
UPDATE jobs
SET
    state = 'queued', failures = 0, lost = 0, due_at = ?2, queued_at = ?2, finished_at = NULL,
    error = NULL, error_class = NULL, blocked_by = NULL
WHERE
    blocked_by IN (
        SELECT t.id
        FROM sweep_jobs AS sj
        INNER JOIN jobs AS t ON t.id = sj.job
        WHERE sj.sweep = ?1 AND t.kind = 'train' AND t.state = 'queued'
    )
    AND state = 'failed'
    AND EXISTS (
        SELECT 1
        FROM sweep_jobs AS sj
        INNER JOIN sweeps AS s ON s.id = sj.sweep
        WHERE sj.job = jobs.id AND s.cancelled_at IS NULL
    )
RETURNING id;
