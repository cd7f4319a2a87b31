-- Jobs of sweep $1 that need a checkpoint which a trained run never got because it stopped early fail at $2.
-- Indexes: primary keys of sweep_jobs, jobs, job_needs and checkpoints, jobs_train.
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
        FROM sweep_jobs AS sj
        INNER JOIN jobs AS j ON j.id = sj.job AND j.state = 'queued'
        INNER JOIN lines AS l ON l.id = j.line
        WHERE sj.sweep = $1
        UNION ALL
        SELECT j.id AS job, j.run, l.to_tag AS tag
        FROM sweep_jobs AS sj
        INNER JOIN jobs AS j ON j.id = sj.job AND j.state = 'queued'
        INNER JOIN lines AS l ON l.id = j.line
        WHERE sj.sweep = $1 AND l.elsewhere IS NULL
        UNION ALL
        SELECT n.job, n.run, n.tag
        FROM sweep_jobs AS sj
        INNER JOIN jobs AS j ON j.id = sj.job AND j.state = 'queued'
        INNER JOIN job_needs AS n ON n.job = j.id
        WHERE sj.sweep = $1
    ) AS need
    WHERE
        EXISTS (SELECT 1 FROM jobs AS t WHERE t.run = need.run AND t.kind = 'train' AND t.state = 'done')
        AND NOT EXISTS (SELECT 1 FROM checkpoints AS c WHERE c.run = need.run AND c.tag = need.tag)
    ORDER BY need.job, need.tag
) AS lack
INNER JOIN runs AS r ON r.id = lack.run
WHERE jobs.id = lack.job AND jobs.state = 'queued';
