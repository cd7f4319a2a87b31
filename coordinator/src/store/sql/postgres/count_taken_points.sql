-- Queued jobs of sweep $1 on the lines in $2 (JSON array of ids) have as many points as are stored.
-- Indexes: primary keys of sweep_runs and points, jobs_line.
UPDATE jobs
SET points = (SELECT count(*) FROM points AS p WHERE p.job = jobs.id)
WHERE
    id IN (
        SELECT j.id
        FROM sweep_runs AS sr
        CROSS JOIN json_array_elements_text($2::json) AS v (value)
        INNER JOIN jobs AS j ON j.run = sr.run AND j.line = v.value::bigint AND j.kind = 'line' AND j.state = 'queued'
        WHERE sr.sweep = $1
    );
