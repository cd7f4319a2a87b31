-- Workers in ?1 (JSON array of {worker, done}) have done so many more jobs, at ?2. Index: primary key.
UPDATE workers
SET done = done + (v.value ->> 'done'), succeeded_at = ?2
FROM json_each(?1) AS v
WHERE workers.id = v.value ->> 'worker';
