-- Canonical forms of the runs in $1 (JSON array of ids). Index: primary key.
SELECT r.id, r.spec
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN runs AS r ON r.id = v.value::bigint;
