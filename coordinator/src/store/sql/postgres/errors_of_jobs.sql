-- Failed attempts of the jobs in $1 (JSON array of ids), oldest first. Index: primary key of job_errors.
SELECT e.job, e.attempt, e.at, e.class, e.message, w.name AS worker
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN job_errors AS e ON e.job = v.value::bigint
INNER JOIN workers AS w ON w.id = e.worker
ORDER BY e.job, e.attempt;
