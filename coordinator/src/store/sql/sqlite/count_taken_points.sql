-- Queued jobs of sweep ?1 on the lines in ?2 (JSON array of ids) have as many points as are stored.
-- Indexes: primary keys of sweep_runs and points, jobs_line.
UPDATE jobs
SET points = (SELECT count(*) FROM points AS p WHERE p.job = jobs.id)
WHERE
    id IN (
        SELECT j.id
        FROM sweep_runs AS sr
        CROSS JOIN json_each(?2) AS v
        CROSS JOIN jobs AS j ON j.run = sr.run AND j.line = v.value AND j.kind = 'line' AND j.state = 'queued'
        WHERE sr.sweep = ?1
    );
