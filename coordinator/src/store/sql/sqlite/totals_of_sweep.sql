-- The jobs of sweep ?1, counted by kind and model. Index: primary key.
SELECT
    kind,
    model,
    sum(jobs) AS jobs,
    sum(queued) AS queued,
    sum(leased) AS leased,
    sum(done) AS done,
    sum(failed) AS failed,
    sum(cancelled) AS cancelled
FROM sweep_totals
WHERE sweep = ?1
GROUP BY kind, model
ORDER BY model, kind DESC;
