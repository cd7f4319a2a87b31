-- Jobs of sweep $1 that failed with a training that is queued again, or done since, are queued again at $2.
-- Indexes: primary keys of sweep_jobs and jobs.
UPDATE jobs
SET
    state = 'queued', failures = 0, lost = 0, due_at = $2, queued_at = $2, finished_at = NULL,
    error = NULL, error_class = NULL, blocked_by = NULL
WHERE
    id IN (SELECT sj.job FROM sweep_jobs AS sj WHERE sj.sweep = $1)
    AND state = 'failed'
    AND EXISTS (SELECT 1 FROM jobs AS t WHERE t.id = jobs.blocked_by AND t.state IN ('queued', 'leased', 'done'));
