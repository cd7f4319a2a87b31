-- Sweep $1 needs these training jobs: $2 JSON array of {run, position}. Indexes: UNIQUE (digest) of runs, jobs_train.
INSERT INTO sweep_jobs (sweep, job, position)
SELECT $1, j.id, v.position
FROM json_to_recordset($2::json) AS v (position bigint, run text)
INNER JOIN runs AS r ON r.digest = v.run
INNER JOIN jobs AS j ON j.run = r.id AND j.kind = 'train';
