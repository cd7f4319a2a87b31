-- Numbers of whole lines, where the attempt holds its job: $1 to $6 arrays of job, attempt, split (empty for none), name, value,
-- worker. One that is there stays as it is. Index: primary keys of jobs and measures.
-- Jobs are looked up one by one (LATERAL): whatever the planner thinks of how many are leased, it would not read them all.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO measures (job, split, name, value, worker)
SELECT v.job, v.split, v.name, v.value, v.worker
FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::double precision[], $6::bigint[])
    AS v (job, attempt, split, name, value, worker)
CROSS JOIN LATERAL (
    SELECT h.id FROM jobs AS h WHERE h.id = v.job AND h.attempt = v.attempt AND h.expires_at IS NOT NULL LIMIT 1
) AS j
ON CONFLICT (job, split, name) DO NOTHING;
