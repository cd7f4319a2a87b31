-- Imports of the names in ?1 (JSON array). Index: primary key.
SELECT i.name, i.model, i.input, i.classes
FROM json_each(?1) AS v
CROSS JOIN imports AS i ON i.name = v.value;
