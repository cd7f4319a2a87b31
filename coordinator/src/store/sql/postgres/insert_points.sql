-- Points, where the attempt holds its job: $1 JSON array of {job, attempt, split, place, alpha, loss, accuracy, count},
-- $2 worker. One that is there stays as it is; what is not a number is NULL. Index: primary keys of jobs and points.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO points (job, split, place, alpha, loss, accuracy, count, worker)
SELECT
    j.id,
    v.split,
    v.place,
    v.alpha,
    nullif(v.loss, 'NaN'),
    v.accuracy,
    v.count,
    $2
FROM json_to_recordset($1::json) AS v (
    job bigint, attempt bigint, split text, place bigint,
    alpha double precision, loss double precision, accuracy double precision, count bigint
)
INNER JOIN jobs AS j ON j.id = v.job
WHERE j.attempt = v.attempt AND j.expires_at IS NOT NULL
ON CONFLICT (job, split, place) DO NOTHING
RETURNING job;
