-- Attempts that hold their job have so many points in all, so they are alive. Counted by count_advances.
-- Index: primary key of jobs.
WITH v (job, attempt, points) AS (VALUES (?, ?, ?))

UPDATE jobs
SET points = v.points, lost = 0
FROM v
WHERE jobs.id = v.job AND jobs.attempt = v.attempt AND jobs.state = 'leased';
