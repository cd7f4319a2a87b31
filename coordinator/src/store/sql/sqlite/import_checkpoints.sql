-- Checkpoints of the imports in ?1 (JSON array of names). Index: primary key.
SELECT c.import, c.tag, c.artifact, c.bytes
FROM json_each(?1) AS v
CROSS JOIN import_checkpoints AS c ON c.import = v.value;
