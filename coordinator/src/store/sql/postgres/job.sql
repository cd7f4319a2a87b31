-- Job $1 with what explains it. Index: primary keys.
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
    j.error,
    j.ready,
    j.due_at,
    j.fraction,
    j.progress,
    j.sweep
FROM jobs AS j
INNER JOIN runs AS r ON r.id = j.run
LEFT JOIN lines AS l ON l.id = j.line
LEFT JOIN workers AS w ON w.id = j.worker
WHERE j.id = $1;
