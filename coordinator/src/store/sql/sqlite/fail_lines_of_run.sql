-- Lines that wait for training job ?1, which failed, fail with it, at ?2. Index: jobs_line.
UPDATE jobs
SET
    state = 'failed',
    finished_at = ?2,
    blocked_by = t.id,
    error = 'run ' || r.model || coalesce(' seed ' || r.seed, '') || ' (' || substr(r.digest, 1, 12) || ') failed: ' || t.error
FROM jobs AS t
INNER JOIN runs AS r ON r.id = t.run
WHERE
    t.id = ?1
    AND t.state = 'failed'
    AND jobs.run = t.run
    AND jobs.kind = 'line'
    AND jobs.state = 'queued'
    AND jobs.ready = 0;
