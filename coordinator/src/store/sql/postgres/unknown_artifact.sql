-- One of the artifacts in $1 (JSON array of {artifact, ...}) that no import names.
-- Index: import_checkpoints_by_artifact.
SELECT v.artifact
FROM json_to_recordset($1::json) AS v (artifact text)
WHERE NOT EXISTS (SELECT 1 FROM import_checkpoints AS c WHERE c.artifact = v.artifact)
LIMIT 1;
