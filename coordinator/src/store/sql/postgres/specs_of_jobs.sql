-- What the jobs in $1 (JSON array of ids) are, to check rows against. Index: primary keys.
SELECT j.id, j.kind, r.spec AS run_spec, l.spec AS line_spec
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN jobs AS j ON j.id = v.value::bigint
INNER JOIN runs AS r ON r.id = j.run
LEFT JOIN lines AS l ON l.id = j.line;
