-- The jobs of sweep $1, counted by kind and model. Index: primary key.
SELECT
    kind,
    model,
    sum(jobs)::bigint AS jobs,
    sum(queued)::bigint AS queued,
    sum(leased)::bigint AS leased,
    sum(done)::bigint AS done,
    sum(failed)::bigint AS failed,
    sum(cancelled)::bigint AS cancelled
FROM sweep_totals
WHERE sweep = $1
GROUP BY kind, model
ORDER BY model, kind DESC;
