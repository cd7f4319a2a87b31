-- Counts the claim of the jobs in ?1 (JSON array of ids), all of one kind and run, in each sweep that needs them.
-- Index: primary keys, sweep_jobs_by_job.
WITH changed AS MATERIALIZED (
    SELECT sj.sweep, j.kind, r.model, count(*) AS jobs
    FROM json_each(?1) AS v
    CROSS JOIN jobs AS j ON j.id = v.value
    CROSS JOIN runs AS r ON r.id = j.run
    CROSS JOIN sweep_jobs AS sj ON sj.job = j.id
    GROUP BY sj.sweep, j.kind, r.model
)

UPDATE sweep_totals
SET queued = queued - changed.jobs, leased = leased + changed.jobs
FROM changed
WHERE
    sweep_totals.sweep = changed.sweep
    AND sweep_totals.kind = changed.kind
    AND sweep_totals.model = changed.model
    AND sweep_totals.shard = 0;
