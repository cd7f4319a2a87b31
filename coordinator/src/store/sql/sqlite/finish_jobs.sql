-- Attempts that hold their job have so many points in all, and are complete, at the moment that follows the rows, if none is
-- missing. Counted by count_advances. Index: primary key of jobs.
WITH v (job, attempt, points, seconds, threads) AS (VALUES (?, ?, ?, ?, ?))

UPDATE jobs
SET
    points = v.points, state = 'done', seconds = v.seconds, threads = v.threads, finished_at = ?,
    expires_at = NULL, fraction = 1, progress = '', lost = 0, error = NULL, error_class = NULL
FROM v
WHERE
    jobs.id = v.job
    AND jobs.attempt = v.attempt
    AND jobs.state = 'leased'
    AND jobs.points_expected = v.points;
