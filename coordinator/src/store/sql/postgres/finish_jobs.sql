-- Attempts that hold their job have so many points in all, and are complete at $6, if none is missing: $1 to $5 arrays of job,
-- attempt, points, seconds, threads. Index: primary key of jobs.
-- Jobs are looked up one by one (LATERAL): whatever the planner thinks of how many are leased, it would not read them all.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
-- A moment is checked once, not for each job.
UPDATE jobs
SET
    points = v.points, state = 'done', seconds = v.seconds, threads = v.threads, finished_at = (SELECT $6::moment),
    expires_at = NULL, fraction = 1, progress = '', lost = 0, error = NULL, error_class = NULL
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::double precision[], $5::bigint[])
    AS v (job, attempt, points, seconds, threads)
CROSS JOIN LATERAL (
    SELECT h.id
    FROM jobs AS h
    WHERE h.id = v.job AND h.attempt = v.attempt AND h.expires_at IS NOT NULL AND h.points_expected = v.points
    LIMIT 1
) AS held
WHERE jobs.id = held.id;
