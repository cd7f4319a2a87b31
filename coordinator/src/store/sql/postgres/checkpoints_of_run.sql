-- Checkpoints of run $1. Index: primary key.
SELECT 0::bigint AS position, r.digest, r.model, r.seed, c.tag, c.artifact, c.bytes
FROM checkpoints AS c
INNER JOIN runs AS r ON r.id = c.run
WHERE c.run = $1;
