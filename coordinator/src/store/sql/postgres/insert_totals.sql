-- The jobs of sweep $1, counted; the last that its submission writes. Indexes: primary keys of sweep_jobs, jobs and runs.
INSERT INTO sweep_totals (
    sweep, kind, model, jobs, queued, leased, done, failed, cancelled, points, points_expected,
    cost_left, cost_done, seconds, last_finished_at
)
SELECT
    $1,
    j.kind,
    r.model,
    count(*),
    count(*) FILTER (WHERE j.state = 'queued'),
    count(*) FILTER (WHERE j.state = 'leased'),
    count(*) FILTER (WHERE j.state = 'done'),
    count(*) FILTER (WHERE j.state = 'failed'),
    count(*) FILTER (WHERE j.state = 'cancelled'),
    sum(j.points),
    sum(j.points_expected),
    coalesce(sum(j.cost) FILTER (WHERE j.state IN ('queued', 'leased')), 0),
    coalesce(sum(j.cost) FILTER (WHERE j.state = 'done'), 0),
    coalesce(sum(j.seconds) FILTER (WHERE j.state = 'done' AND j.cost > 0), 0),
    max(j.finished_at)
FROM sweep_jobs AS sj
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN runs AS r ON r.id = j.run
WHERE sj.sweep = $1
GROUP BY j.kind, r.model;
