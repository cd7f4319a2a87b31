-- The snapshot from which training job $1 goes on, taken on a device like that of worker $2.
-- Indexes: primary keys of jobs, snapshots and workers.
SELECT s.artifact, s.bytes, s.step, s.threads
FROM jobs AS j
INNER JOIN snapshots AS s ON s.run = j.run
INNER JOIN workers AS took ON took.id = s.worker
INNER JOIN workers AS asks ON asks.id = $2
WHERE j.id = $1 AND j.kind = 'train' AND took.environment = asks.environment;
