-- Points, where the attempt holds its job: ?1 JSON array of {job, attempt, split, place, alpha, loss, accuracy, count},
-- ?2 worker. One that is there stays as it is. Index: primary keys of jobs and points.
INSERT INTO points (job, split, place, alpha, loss, accuracy, count, worker)
SELECT
    j.id,
    v.value ->> 'split',
    v.value ->> 'place',
    v.value ->> 'alpha',
    v.value ->> 'loss',
    v.value ->> 'accuracy',
    v.value ->> 'count',
    ?2
FROM json_each(?1) AS v
CROSS JOIN jobs AS j ON j.id = v.value ->> 'job'
WHERE j.attempt = v.value ->> 'attempt' AND j.state = 'leased'
ON CONFLICT (job, split, place) DO NOTHING
RETURNING job;
