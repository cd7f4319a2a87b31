-- Line jobs that are not there yet, in the name of sweep $3: $1 JSON array of {run, line, waits, points, cost, position},
-- $2 now. A line is ready when its run is trained, here or elsewhere; one that needs other runs waits until ready_jobs_of_sweep says otherwise.
-- Jobs are looked for one by one (LATERAL), by all of their key. Indexes: UNIQUE (digest) of runs and lines, jobs_train, jobs_line.
INSERT INTO jobs (kind, run, line, state, ready, points_expected, due_at, queued_at, sweep, cost)
SELECT
    'line',
    r.id,
    l.id,
    'queued',
    NOT v.waits AND training.id IS NULL,
    v.points,
    $2,
    $2,
    $3,
    v.cost
FROM json_to_recordset($1::json) AS v (run text, line text, waits boolean, points bigint, cost double precision, position bigint)
INNER JOIN runs AS r ON r.digest = v.run
INNER JOIN lines AS l ON l.digest = v.line
LEFT JOIN LATERAL (
    SELECT t.id FROM jobs AS t WHERE t.run = r.id AND t.kind = 'train' AND t.state <> 'done' LIMIT 1
) AS training ON TRUE
LEFT JOIN LATERAL (
    SELECT j.id FROM jobs AS j WHERE j.run = r.id AND j.line = l.id AND j.kind = 'line' LIMIT 1
) AS known ON TRUE
WHERE known.id IS NULL
ORDER BY v.position
ON CONFLICT (run, line) WHERE kind = 'line' DO NOTHING;
