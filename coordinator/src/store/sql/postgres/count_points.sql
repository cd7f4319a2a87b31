-- How many points the jobs in $1 (JSON array of ids) have. Index: primary key of points.
SELECT v.value::bigint AS job, (SELECT count(*) FROM points AS p WHERE p.job = v.value::bigint) AS points
FROM json_array_elements_text($1::json) AS v (value);
