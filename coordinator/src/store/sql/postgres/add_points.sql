-- Attempts that hold their job have so many points in all, so they are alive: $1 to $3 arrays of job, attempt, points.
-- Index: primary key of jobs.
-- Jobs are looked up one by one (LATERAL): whatever the planner thinks of how many are leased, it would not read them all.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
UPDATE jobs
SET points = v.points, lost = 0
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS v (job, attempt, points)
CROSS JOIN LATERAL (
    SELECT h.id FROM jobs AS h WHERE h.id = v.job AND h.attempt = v.attempt AND h.expires_at IS NOT NULL LIMIT 1
) AS held
WHERE jobs.id = held.id;
