-- What sweep $1 needs and was cancelled, or failed only because of a training that has been queued again since, is
-- queued again at $2. Index: primary key of sweep_jobs.
UPDATE jobs
SET
    state = 'queued', failures = 0, lost = 0, due_at = $2, queued_at = $2, finished_at = NULL,
    error = NULL, error_class = NULL, blocked_by = NULL
WHERE
    id IN (SELECT sj.job FROM sweep_jobs AS sj WHERE sj.sweep = $1)
    AND (
        state = 'cancelled'
        OR (
            state = 'failed'
            AND EXISTS (
                SELECT 1 FROM jobs AS t
                WHERE t.id = jobs.blocked_by AND t.state IN ('queued', 'leased', 'done', 'cancelled')
            )
        )
    );
