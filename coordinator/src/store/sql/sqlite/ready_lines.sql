-- Lines of the run of training job ?1, which is done, are ready: its checkpoints cannot change any more.
-- Index: jobs_line.
UPDATE jobs
SET ready = 1
FROM jobs AS t
WHERE t.id = ?1 AND jobs.run = t.run AND jobs.kind = 'line' AND jobs.ready = 0;
