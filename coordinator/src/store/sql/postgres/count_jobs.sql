-- Jobs and points by kind and state, for metrics: one pass over jobs.
SELECT kind, state, count(*) AS jobs, sum(points)::bigint AS points
FROM jobs
GROUP BY kind, state;
