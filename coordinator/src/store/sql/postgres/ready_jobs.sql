-- Jobs that waited for training job $1, which is done, and wait for no other are ready: the checkpoints that they need
-- cannot change any more. Indexes: jobs_line, job_needs_by_run; jobs_train for the others.
UPDATE jobs
SET ready = TRUE
WHERE
    id IN (SELECT s.job FROM _job_sources AS s WHERE s.source = $1)
    AND NOT ready
    -- A plain subquery is asked job by job; NOT EXISTS would be joined with the sources of all jobs that there are.
    AND (SELECT s.source FROM _job_sources AS s WHERE s.job = jobs.id AND s.state <> 'done' LIMIT 1) IS NULL;
