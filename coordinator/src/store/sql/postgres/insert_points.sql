-- Points, where the attempt holds its job: $1 to $9 arrays of job, attempt, split, place, alpha, loss, accuracy, count, worker.
-- One that is there stays as it is. Index: primary keys of jobs and points.
-- Jobs are looked up one by one (LATERAL): whatever the planner thinks of how many are leased, it would not read them all.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO points (job, split, place, alpha, loss, accuracy, count, worker)
SELECT v.job, v.split, v.place, v.alpha, v.loss, v.accuracy, v.count, v.worker
FROM unnest(
    $1::bigint[], $2::bigint[], $3::text[], $4::bigint[],
    $5::double precision[], $6::double precision[], $7::double precision[], $8::bigint[], $9::bigint[]
) AS v (job, attempt, split, place, alpha, loss, accuracy, count, worker)
CROSS JOIN LATERAL (
    SELECT h.id FROM jobs AS h WHERE h.id = v.job AND h.attempt = v.attempt AND h.expires_at IS NOT NULL LIMIT 1
) AS j
ON CONFLICT (job, split, place) DO NOTHING;
