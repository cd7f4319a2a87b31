-- Numbers of whole lines, where the attempt holds its job (split is empty for none); one that is there stays as it is.
-- Index: primary keys of jobs and measures.
WITH v (job, attempt, split, name, value, worker) AS (VALUES (?, ?, ?, ?, ?, ?))

INSERT INTO measures (job, split, name, value, worker)
SELECT j.id, v.split, v.name, v.value, v.worker
FROM v
CROSS JOIN jobs AS j ON j.id = v.job
WHERE j.attempt = v.attempt AND j.state = 'leased'
ON CONFLICT (job, split, name) DO NOTHING;
