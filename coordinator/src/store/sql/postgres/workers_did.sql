-- Workers in $1 (JSON array of {worker, done}) have done so many more jobs, at $2. Index: primary key.
UPDATE workers
SET done = workers.done + v.done, succeeded_at = $2
FROM json_to_recordset($1::json) AS v (worker bigint, done bigint)
WHERE workers.id = v.worker;
