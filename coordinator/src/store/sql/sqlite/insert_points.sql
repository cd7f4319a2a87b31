-- Points, where the attempt holds its job; one that is there stays as it is. Index: primary keys of jobs and points.
WITH v (job, attempt, split, place, alpha, loss, accuracy, count, worker) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?))

INSERT INTO points (job, split, place, alpha, loss, accuracy, count, worker)
SELECT j.id, v.split, v.place, v.alpha, v.loss, v.accuracy, v.count, v.worker
FROM v
CROSS JOIN jobs AS j ON j.id = v.job
WHERE j.attempt = v.attempt AND j.state = 'leased'
ON CONFLICT (job, split, place) DO NOTHING;
