-- Attempts in ?1 (JSON array of {job, attempt, seconds, threads}) are complete at ?2, where all their points are stored.
-- Index: primary key of jobs.
UPDATE jobs
SET
    state = 'done', finished_at = ?2, seconds = v.value ->> 'seconds', threads = v.value ->> 'threads',
    expires_at = NULL, fraction = 1, progress = '', lost = 0, error = NULL, error_class = NULL
FROM json_each(?1) AS v
WHERE
    jobs.id = v.value ->> 'job'
    AND jobs.attempt = v.value ->> 'attempt'
    AND jobs.state = 'leased'
    AND jobs.points = jobs.points_expected
RETURNING jobs.id;
