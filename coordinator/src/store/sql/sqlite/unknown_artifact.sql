-- One of the artifacts in ?1 (JSON array of {artifact, ...}) that no import names.
-- Index: import_checkpoints_by_artifact.
SELECT v.value ->> 'artifact'
FROM json_each(?1) AS v
WHERE NOT EXISTS (SELECT 1 FROM import_checkpoints AS c WHERE c.artifact = v.value ->> 'artifact')
LIMIT 1;
