-- Lines in $1 (JSON array of {run, line}) that are done. Indexes: UNIQUE (digest) of runs and lines, jobs_line.
SELECT r.digest AS run, l.digest AS line
FROM json_to_recordset($1::json) AS v (run text, line text)
INNER JOIN runs AS r ON r.digest = v.run
INNER JOIN lines AS l ON l.digest = v.line
INNER JOIN jobs AS j ON j.run = r.id AND j.line = l.id AND j.kind = 'line'
WHERE j.state = 'done';
