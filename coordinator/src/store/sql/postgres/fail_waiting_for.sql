-- Whatever waits for training job $1, which failed, directly or through others, fails with it, at $2.
-- For any other job it does nothing.
-- Indexes: jobs_line, job_needs_by_run.
WITH RECURSIVE stuck (run) AS (
    SELECT t.run
    FROM jobs AS t
    WHERE t.id = $1 AND t.kind = 'train'
    UNION
    SELECT d.run
    FROM stuck AS s
    INNER JOIN job_needs AS n ON n.run = s.run
    INNER JOIN jobs AS d ON d.id = n.job AND d.kind = 'train'
)

UPDATE jobs
SET
    state = 'failed',
    finished_at = $2,
    blocked_by = t.id,
    error = 'run ' || r.model || coalesce(' seed ' || r.seed, '') || ' (' || substr(r.digest, 1, 12) || ') failed: ' || t.error
FROM jobs AS t
INNER JOIN runs AS r ON r.id = t.run
WHERE
    t.id = $1
    AND t.state = 'failed'
    AND jobs.id IN (
        SELECT l.id
        FROM stuck AS s
        INNER JOIN jobs AS l ON l.run = s.run AND l.kind = 'line'
        UNION ALL
        SELECT n.job
        FROM stuck AS s
        INNER JOIN job_needs AS n ON n.run = s.run
    )
    AND jobs.state = 'queued'
    AND NOT jobs.ready;
