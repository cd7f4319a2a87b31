-- Sweep $1 needs these line jobs: $2 JSON array of {run, line, points, position}.
-- Jobs are looked for one by one (LATERAL), by all of their key. Indexes: UNIQUE (digest) of runs and lines, jobs_line.
INSERT INTO sweep_jobs (sweep, job, position)
SELECT $1, j.id, v.position
FROM json_to_recordset($2::json) AS v (position bigint, run text, line text)
INNER JOIN runs AS r ON r.digest = v.run
INNER JOIN lines AS l ON l.digest = v.line
CROSS JOIN LATERAL (
    SELECT j.id FROM jobs AS j WHERE j.run = r.id AND j.line = l.id AND j.kind = 'line' LIMIT 1
) AS j;
