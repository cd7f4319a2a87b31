-- Those of the artifacts in ?1 (JSON array) that a checkpoint, an import or a snapshot names.
-- Indexes: checkpoints_by_artifact, import_checkpoints_by_artifact, snapshots_by_artifact.
SELECT v.value
FROM json_each(?1) AS v
WHERE
    EXISTS (SELECT 1 FROM checkpoints AS c WHERE c.artifact = v.value)
    OR EXISTS (SELECT 1 FROM import_checkpoints AS c WHERE c.artifact = v.value)
    OR EXISTS (SELECT 1 FROM snapshots AS s WHERE s.artifact = v.value);
