-- Specs of the runs in $1 (JSON array of digests) that are stored. Index: UNIQUE (digest).
SELECT r.digest, r.spec
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN runs AS r ON r.digest = v.value;
