-- Line specs of the lines in $1 (JSON array of ids). Index: primary key.
SELECT l.id, l.spec
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN lines AS l ON l.id = v.value::bigint;
