-- Checkpoints of the runs of sweep $1. Indexes: primary keys of sweep_runs and checkpoints.
SELECT sr.position, r.digest, r.model, r.seed, c.tag, c.artifact, c.bytes
FROM sweep_runs AS sr
INNER JOIN checkpoints AS c ON c.run = sr.run
INNER JOIN runs AS r ON r.id = sr.run
WHERE sr.sweep = $1;
