-- What sweep $1 learned of its jobs, waiting and done, by kind and model. Index: primary key.
SELECT
    kind,
    model,
    sum(queued)::bigint AS queued,
    sum(done)::bigint AS done,
    sum(cost_left) AS cost_left,
    sum(cost_done) AS cost_done,
    sum(seconds) AS seconds
FROM sweep_totals
WHERE sweep = $1
GROUP BY kind, model
ORDER BY kind, model;
