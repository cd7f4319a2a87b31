-- The database as an interface: these views are documented in docs/sql.md, column by column, and stay as they are.

-- One row for each sweep.
CREATE VIEW sweep_progress AS
SELECT
    s.sweep_id,
    s.name,
    CASE
        WHEN s.cancelled_at IS NOT NULL THEN 'cancelled'
        WHEN count(*) FILTER (WHERE j.state IN ('queued', 'leased')) > 0 THEN 'running'
        WHEN count(*) FILTER (WHERE j.state = 'failed') > 0 THEN 'failed'
        WHEN count(*) FILTER (WHERE j.state = 'cancelled') > 0 THEN 'cancelled'
        ELSE 'done'
    END AS state,
    s.submitted_at,
    (SELECT count(*) FROM sweep_runs AS sr WHERE sr.sweep = s.id) AS runs,
    count(j.id) AS jobs,
    count(*) FILTER (WHERE j.state = 'queued') AS queued,
    count(*) FILTER (WHERE j.state = 'leased') AS leased,
    count(*) FILTER (WHERE j.state = 'done') AS done,
    count(*) FILTER (WHERE j.state = 'failed') AS failed,
    count(*) FILTER (WHERE j.state = 'cancelled') AS cancelled,
    coalesce(sum(j.points), 0)::bigint AS points,
    coalesce(sum(j.points_expected), 0)::bigint AS points_expected,
    count(*) FILTER (WHERE j.kind = 'train') AS train_jobs,
    count(*) FILTER (WHERE j.kind = 'train' AND j.state = 'done') AS train_done,
    CASE
        WHEN s.cancelled_at IS NOT NULL THEN s.cancelled_at
        WHEN count(*) FILTER (WHERE j.state IN ('queued', 'leased')) = 0
        -- A sweep whose jobs were all done before it came is finished when it is submitted.
        THEN greatest(s.submitted_at, coalesce(max(j.finished_at), s.submitted_at))
    END AS finished_at
FROM sweeps AS s
LEFT JOIN sweep_jobs AS sj ON sj.sweep = s.id
LEFT JOIN jobs AS j ON j.id = sj.job
GROUP BY s.id, s.sweep_id, s.name, s.submitted_at, s.cancelled_at;

-- One row for each job of each sweep that needs it.
CREATE VIEW job_status AS
SELECT
    j.id AS job_id,
    s.sweep_id,
    s.name AS sweep,
    j.kind,
    j.state,
    j.attempt,
    w.name AS worker,
    r.model,
    r.seed,
    l.mask,
    j.queued_at,
    j.started_at,
    j.finished_at,
    j.error,
    r.digest AS run,
    j.fraction,
    j.progress,
    j.points,
    j.points_expected,
    j.seconds
FROM sweeps AS s
INNER JOIN sweep_jobs AS sj ON sj.sweep = s.id
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN runs AS r ON r.id = j.run
LEFT JOIN lines AS l ON l.id = j.line
LEFT JOIN workers AS w ON w.id = j.worker;

-- One row for each measured point of each line of each sweep that asked for it.
CREATE VIEW line_points AS
SELECT
    s.sweep_id,
    s.name AS sweep,
    r.digest AS run,
    r.model,
    r.seed,
    sr.settings,
    l.from_tag,
    l.to_tag,
    l.mask,
    l.hold,
    l.batch_norm,
    p.split,
    p.alpha,
    p.loss,
    p.accuracy,
    p.count,
    p.job AS job_id,
    l.subset,
    w.device,
    w.device_name,
    w.libtorch
FROM sweeps AS s
INNER JOIN sweep_jobs AS sj ON sj.sweep = s.id
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN lines AS l ON l.id = j.line
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN sweep_runs AS sr ON sr.sweep = s.id AND sr.run = j.run
INNER JOIN points AS p ON p.job = j.id
INNER JOIN workers AS w ON w.id = p.worker;

-- One row for each epoch and split of each run that was trained here.
CREATE VIEW run_curve AS
SELECT
    r.digest AS run,
    c.epoch,
    c.split,
    c.loss,
    c.accuracy,
    c.learning_rate,
    c.seconds,
    r.model,
    r.seed
FROM curves AS c
INNER JOIN runs AS r ON r.id = c.run;
