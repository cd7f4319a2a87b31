-- Runs in $1 (JSON array of digests) whose training is done. Indexes: UNIQUE (digest) of runs, jobs_train.
SELECT r.digest
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN runs AS r ON r.digest = v.value
INNER JOIN jobs AS j ON j.run = r.id AND j.kind = 'train'
WHERE j.state = 'done';
