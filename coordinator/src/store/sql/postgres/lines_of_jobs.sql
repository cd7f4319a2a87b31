-- Line specs of the jobs in $1 (JSON array of ids). Index: primary keys.
SELECT j.id, l.spec
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN jobs AS j ON j.id = v.value::bigint
INNER JOIN lines AS l ON l.id = j.line;
