-- Jobs of whatever sweep that wait for a training that failed, directly or through others, fail with it, at $1.
-- Indexes: jobs_failed_train, jobs_line, job_needs_by_run.
WITH RECURSIVE stuck (run, source) AS (
    SELECT t.run, t.id
    FROM jobs AS t
    WHERE t.kind = 'train' AND t.state = 'failed' AND t.blocked_by IS NULL
    UNION
    SELECT d.run, s.source
    FROM stuck AS s
    INNER JOIN job_needs AS n ON n.run = s.run
    INNER JOIN jobs AS d ON d.id = n.job AND d.kind = 'train'
),

waiting (job, source) AS (
    SELECT l.id, s.source
    FROM stuck AS s
    INNER JOIN jobs AS l ON l.run = s.run AND l.kind = 'line'
    UNION ALL
    SELECT n.job, s.source
    FROM stuck AS s
    INNER JOIN job_needs AS n ON n.run = s.run
)

UPDATE jobs
SET
    state = 'failed',
    finished_at = $1,
    blocked_by = t.id,
    error = 'run ' || r.model || coalesce(' seed ' || r.seed, '') || ' (' || substr(r.digest, 1, 12) || ') failed: ' || t.error
FROM (SELECT w.job, min(w.source) AS source FROM waiting AS w GROUP BY w.job) AS first
INNER JOIN jobs AS t ON t.id = first.source
INNER JOIN runs AS r ON r.id = t.run
WHERE
    jobs.id = first.job
    AND jobs.state = 'queued'
    AND NOT jobs.ready;
