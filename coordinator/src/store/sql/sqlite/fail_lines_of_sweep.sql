-- Lines of sweep ?1 that wait for a training that failed fail with it, at ?2.
-- Indexes: primary key of sweep_jobs, jobs_train.
UPDATE jobs
SET
    state = 'failed',
    finished_at = ?2,
    blocked_by = t.id,
    error = 'run ' || r.model || coalesce(' seed ' || r.seed, '') || ' (' || substr(r.digest, 1, 12) || ') failed: ' || t.error
FROM jobs AS t
INNER JOIN runs AS r ON r.id = t.run
WHERE
    jobs.id IN (SELECT sj.job FROM sweep_jobs AS sj WHERE sj.sweep = ?1)
    AND jobs.kind = 'line'
    AND jobs.state = 'queued'
    AND jobs.ready = 0
    AND t.run = jobs.run
    AND t.kind = 'train'
    AND t.state = 'failed';
