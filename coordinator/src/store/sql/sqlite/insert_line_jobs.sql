-- Line jobs that are not there yet: ?1 JSON array of {run, line, points, position}, ?2 now. A line is ready when its
-- three checkpoints are stored. Indexes: UNIQUE (digest) of runs and lines, primary key of checkpoints, jobs_line.
INSERT INTO jobs (kind, run, line, state, ready, points_expected, due_at, queued_at)
SELECT
    'line',
    r.id,
    l.id,
    'queued',
    EXISTS (SELECT 1 FROM checkpoints AS c WHERE c.run = r.id AND c.tag = l.from_tag)
    AND EXISTS (SELECT 1 FROM checkpoints AS c WHERE c.run = r.id AND c.tag = l.to_tag)
    AND EXISTS (SELECT 1 FROM checkpoints AS c WHERE c.run = r.id AND c.tag = l.hold),
    v.value ->> 'points',
    ?2,
    ?2
FROM json_each(?1) AS v
INNER JOIN runs AS r ON r.digest = v.value ->> 'run'
INNER JOIN lines AS l ON l.digest = v.value ->> 'line'
WHERE TRUE
ON CONFLICT (run, line) WHERE kind = 'line' DO NOTHING;
