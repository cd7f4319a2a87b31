-- What all sweeps learned, by kind.
SELECT kind, sum(cost_done) AS cost_done, sum(seconds) AS seconds
FROM sweep_totals
GROUP BY kind
ORDER BY kind;
