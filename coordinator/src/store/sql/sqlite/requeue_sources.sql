-- Trainings that were cancelled, and that queued jobs of sweep ?1 wait for, directly or through others, are queued again
-- at ?2. Indexes: primary keys of sweep_jobs, jobs and job_needs, jobs_train.
WITH RECURSIVE needed (job) AS (
    SELECT j.id
    FROM sweep_jobs AS sj
    CROSS JOIN jobs AS j ON j.id = sj.job
    WHERE sj.sweep = ?1 AND j.state = 'queued' AND j.ready = 0
    UNION
    SELECT s.id
    FROM needed AS n
    CROSS JOIN jobs AS j ON j.id = n.job
    CROSS JOIN jobs AS s ON s.run = j.run AND s.kind = 'train'
    UNION
    SELECT s.id
    FROM needed AS n
    CROSS JOIN job_needs AS w ON w.job = n.job
    CROSS JOIN jobs AS s ON s.run = w.run AND s.kind = 'train'
)

UPDATE jobs
SET
    state = 'queued', failures = 0, lost = 0, due_at = ?2, queued_at = ?2, finished_at = NULL,
    error = NULL, error_class = NULL, blocked_by = NULL
WHERE id IN (SELECT n.job FROM needed AS n) AND state = 'cancelled'
RETURNING id;
