-- Jobs and points by kind, for metrics. Index: primary key of job_totals, a row or two.
SELECT
    kind,
    sum(queued) AS queued,
    sum(leased) AS leased,
    sum(done) AS done,
    sum(failed) AS failed,
    sum(cancelled) AS cancelled,
    sum(points) AS points
FROM job_totals
GROUP BY kind;
