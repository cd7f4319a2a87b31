-- Runs in ?1 (JSON array of digests) whose training is done. Indexes: UNIQUE (digest) of runs, jobs_train.
SELECT r.digest
FROM json_each(?1) AS v
CROSS JOIN runs AS r ON r.digest = v.value
CROSS JOIN jobs AS j ON j.run = r.id AND j.kind = 'train'
WHERE j.state = 'done';
