-- Every artifact that a checkpoint, an import or a snapshot names.
SELECT artifact FROM checkpoints
UNION
SELECT artifact FROM import_checkpoints
UNION
SELECT artifact FROM snapshots;
