-- Points that the jobs in $1 (JSON array of ids) have already. Index: primary key of points.
SELECT p.job, p.split, p.place
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN points AS p ON p.job = v.value::bigint;
