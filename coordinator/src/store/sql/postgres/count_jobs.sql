-- Jobs and points by kind, for metrics. Index: primary key of job_totals, a row or two for each shard.
SELECT
    kind,
    sum(queued)::bigint AS queued,
    sum(leased)::bigint AS leased,
    sum(done)::bigint AS done,
    sum(failed)::bigint AS failed,
    sum(cancelled)::bigint AS cancelled,
    sum(points)::bigint AS points
FROM job_totals
GROUP BY kind;
