-- Failed jobs of sweep $1 are queued again at $4: with $2 only those that the machine failed, with $3 the cancelled ones
-- as well. What failed with a training is left to retry_waiting_of_sweep. Index: primary key of sweep_jobs.
UPDATE jobs
SET
    state = 'queued', failures = 0, lost = 0, due_at = $4, queued_at = $4, finished_at = NULL,
    error = NULL, error_class = NULL, blocked_by = NULL
WHERE
    id IN (SELECT sj.job FROM sweep_jobs AS sj WHERE sj.sweep = $1)
    AND (
        (state = 'failed' AND blocked_by IS NULL AND (NOT $2 OR error_class = 'machine'))
        OR (state = 'cancelled' AND $3)
    );
