-- Jobs of sweep $1 that need other runs, and whose runs are all trained, are ready.
-- Indexes: primary keys of sweep_jobs and job_needs, jobs_train.
UPDATE jobs
SET ready = TRUE
WHERE
    id IN (SELECT sj.job FROM sweep_jobs AS sj INNER JOIN job_needs AS n ON n.job = sj.job WHERE sj.sweep = $1)
    AND NOT ready
    -- A plain subquery is asked job by job; NOT EXISTS would be joined with the sources of all jobs that there are.
    AND (SELECT s.source FROM _job_sources AS s WHERE s.job = jobs.id AND s.state <> 'done' LIMIT 1) IS NULL;
