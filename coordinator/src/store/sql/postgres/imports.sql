-- Imports of the names in $1 (JSON array). Index: primary key.
SELECT i.name, i.model, i.input, i.classes
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN imports AS i ON i.name = v.value;
