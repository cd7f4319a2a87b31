-- Checkpoints of the imports in $1 (JSON array of names). Index: primary key.
SELECT c.import, c.tag, c.artifact, c.bytes
FROM json_array_elements_text($1::json) AS v (value)
INNER JOIN import_checkpoints AS c ON c.import = v.value;
