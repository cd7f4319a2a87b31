-- Every artifact that a checkpoint names.
SELECT artifact FROM checkpoints
UNION
SELECT artifact FROM import_checkpoints;
