-- Sweep ?1 needs these line jobs: ?2 JSON array of {run, line, points, position}.
-- Indexes: UNIQUE (digest) of runs and lines, jobs_line.
INSERT INTO sweep_jobs (sweep, job, position)
SELECT ?1, j.id, v.value ->> 'position'
FROM json_each(?2) AS v
INNER JOIN runs AS r ON r.digest = v.value ->> 'run'
INNER JOIN lines AS l ON l.digest = v.value ->> 'line'
INNER JOIN jobs AS j ON j.run = r.id AND j.line = l.id AND j.kind = 'line';
