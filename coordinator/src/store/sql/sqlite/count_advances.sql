-- Counts what add_points and finish_jobs did, in each sweep that needs the jobs: so many points more and, with seconds, done at
-- the moment that follows the rows. Index: primary keys, sweep_jobs_by_job.
WITH v (job, points, seconds) AS (VALUES (?, ?, ?)),

changed AS MATERIALIZED (
    SELECT
        sj.sweep,
        j.kind,
        r.model,
        sum(v.points) AS points,
        count(v.seconds) AS done,
        sum(iif(v.seconds IS NULL, 0, j.cost)) AS cost,
        sum(iif(v.seconds IS NOT NULL AND j.cost > 0, v.seconds, 0)) AS seconds
    FROM v
    CROSS JOIN jobs AS j ON j.id = v.job
    CROSS JOIN runs AS r ON r.id = j.run
    CROSS JOIN sweep_jobs AS sj ON sj.job = j.id
    GROUP BY sj.sweep, j.kind, r.model
)

UPDATE sweep_totals
SET
    points = sweep_totals.points + changed.points,
    leased = leased - changed.done,
    done = sweep_totals.done + changed.done,
    cost_left = cost_left - changed.cost,
    cost_done = cost_done + changed.cost,
    seconds = sweep_totals.seconds + changed.seconds,
    last_finished_at = iif(changed.done > 0, max(coalesce(last_finished_at, ''), ?), last_finished_at)
FROM changed
WHERE
    sweep_totals.sweep = changed.sweep
    AND sweep_totals.kind = changed.kind
    AND sweep_totals.model = changed.model
    AND sweep_totals.shard = 0;
