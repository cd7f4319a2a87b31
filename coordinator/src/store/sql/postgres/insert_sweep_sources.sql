-- Sweep $1 needs, beside what it lists, every training that its jobs wait for, directly or through others; these come last
-- in its order. Indexes: primary keys of sweep_jobs and job_needs, jobs_train.
WITH RECURSIVE needed (job) AS (
    SELECT s.id
    FROM sweep_jobs AS sj
    INNER JOIN job_needs AS w ON w.job = sj.job
    INNER JOIN jobs AS s ON s.run = w.run AND s.kind = 'train'
    WHERE sj.sweep = $1
    UNION
    SELECT s.id
    FROM needed AS n
    INNER JOIN job_needs AS w ON w.job = n.job
    INNER JOIN jobs AS s ON s.run = w.run AND s.kind = 'train'
)

INSERT INTO sweep_jobs (sweep, job, position)
SELECT
    $1,
    n.job,
    (SELECT max(sj.position) FROM sweep_jobs AS sj WHERE sj.sweep = $1) + row_number() OVER (ORDER BY n.job)
FROM needed AS n
WHERE NOT EXISTS (SELECT 1 FROM sweep_jobs AS sj WHERE sj.sweep = $1 AND sj.job = n.job);
