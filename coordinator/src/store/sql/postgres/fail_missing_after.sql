-- Jobs that need a checkpoint which the run of training job $1, which is done, never got because it stopped early fail at
-- $2. Indexes: jobs_line, job_needs_by_run, primary keys of job_needs and checkpoints.
UPDATE jobs
SET
    state = 'failed',
    finished_at = $2,
    error_class = 'run',
    error = 'run ' || r.model || coalesce(' seed ' || r.seed, '') || ' (' || substr(r.digest, 1, 12) || ') has no checkpoint `'
    || lack.tag || '`: its training stopped early'
    || coalesce(', after epoch ' || (SELECT max(c.epoch) FROM curves AS c WHERE c.run = r.id), '')
FROM (
    SELECT DISTINCT ON (need.job) need.job, need.run, need.tag
    FROM (
        SELECT j.id AS job, j.run, l.from_tag AS tag
        FROM jobs AS t
        INNER JOIN jobs AS j ON j.run = t.run AND j.kind = 'line'
        INNER JOIN lines AS l ON l.id = j.line
        WHERE t.id = $1 AND t.state = 'done'
        UNION ALL
        SELECT j.id AS job, j.run, l.to_tag AS tag
        FROM jobs AS t
        INNER JOIN jobs AS j ON j.run = t.run AND j.kind = 'line'
        INNER JOIN lines AS l ON l.id = j.line
        WHERE t.id = $1 AND t.state = 'done' AND l.elsewhere IS NULL
        UNION ALL
        SELECT n.job, n.run, n.tag
        FROM jobs AS t
        INNER JOIN job_needs AS n ON n.run = t.run
        WHERE t.id = $1 AND t.state = 'done'
    ) AS need
    WHERE (SELECT c.tag FROM checkpoints AS c WHERE c.run = need.run AND c.tag = need.tag) IS NULL
    ORDER BY need.job, need.tag
) AS lack
INNER JOIN runs AS r ON r.id = lack.run
WHERE jobs.id = lack.job AND jobs.state = 'queued'
RETURNING jobs.id;
