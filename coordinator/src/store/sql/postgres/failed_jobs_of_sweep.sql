-- Failed jobs of sweep $1 after job $2, at most $3, by id. Indexes: jobs_failed, primary key of sweep_jobs.
SELECT
    j.id,
    j.kind,
    j.state,
    j.attempt,
    w.name AS worker,
    r.digest AS run,
    r.model,
    r.seed,
    l.mask,
    j.queued_at,
    j.started_at,
    j.finished_at,
    j.error
FROM jobs AS j
INNER JOIN sweep_jobs AS sj ON sj.sweep = $1 AND sj.job = j.id
INNER JOIN runs AS r ON r.id = j.run
LEFT JOIN lines AS l ON l.id = j.line
LEFT JOIN workers AS w ON w.id = j.worker
WHERE j.state = 'failed' AND j.id > $2
ORDER BY j.id
LIMIT $3;
