-- Lines in ?1 (JSON array of {run, line}) that are done. Indexes: UNIQUE (digest) of runs and lines, jobs_line.
SELECT r.digest AS run, l.digest AS line
FROM json_each(?1) AS v
CROSS JOIN runs AS r ON r.digest = v.value ->> 'run'
CROSS JOIN lines AS l ON l.digest = v.value ->> 'line'
CROSS JOIN jobs AS j ON j.run = r.id AND j.line = l.id AND j.kind = 'line'
WHERE j.state = 'done';
