-- Jobs of sweep $1 after job $2, in state $3 unless that is NULL, at most $4, by id. Index: primary key of sweep_jobs.
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
FROM sweep_jobs AS sj
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN runs AS r ON r.id = j.run
LEFT JOIN lines AS l ON l.id = j.line
LEFT JOIN workers AS w ON w.id = j.worker
WHERE sj.sweep = $1 AND sj.job > $2 AND ($3::text IS NULL OR j.state = $3)
ORDER BY sj.job
LIMIT $4;
