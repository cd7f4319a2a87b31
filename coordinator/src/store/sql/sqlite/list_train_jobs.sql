-- Sweep ?1 needs these training jobs: ?2 JSON array of {run, position}. Indexes: UNIQUE (digest) of runs, jobs_train.
INSERT INTO sweep_jobs (sweep, job, position)
SELECT ?1, j.id, v.value ->> 'position'
FROM json_each(?2) AS v
INNER JOIN runs AS r ON r.digest = v.value ->> 'run'
INNER JOIN jobs AS j ON j.run = r.id AND j.kind = 'train';
