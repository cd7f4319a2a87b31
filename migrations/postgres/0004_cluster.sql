-- Scheduling between sweeps, workers that are told apart, snapshots of training, and progress that is counted as it
-- changes instead of when it is asked for.

-- How a sweep wants to be scheduled.
ALTER TABLE sweeps ADD COLUMN priority bigint NOT NULL DEFAULT 0; -- higher first
ALTER TABLE sweeps ADD COLUMN share double precision NOT NULL DEFAULT 1 CHECK (share > 0); -- among equals
ALTER TABLE sweeps ADD COLUMN max_workers bigint CHECK (max_workers >= 1); -- NULL for no limit
ALTER TABLE sweeps ADD COLUMN requires text NOT NULL DEFAULT '{}' CHECK (requires::json IS NOT NULL); -- of its workers
ALTER TABLE sweeps ADD COLUMN paused_at moment; -- NULL while it goes on
ALTER TABLE sweeps ADD COLUMN runs bigint NOT NULL DEFAULT 0; -- rows of sweep_runs
-- Set by the roll-up once nothing is left to do, so that those who look for work pass the sweep by; NULL again as soon as
-- one of its jobs is queued.
ALTER TABLE sweeps ADD COLUMN rolled_up_at moment;
CREATE INDEX sweeps_at_work ON sweeps (id) WHERE cancelled_at IS NULL AND rolled_up_at IS NULL;
UPDATE sweeps SET runs = (SELECT count(*) FROM sweep_runs AS sr WHERE sr.sweep = sweeps.id);

-- A job waits in the name of one sweep, though several may need it.
ALTER TABLE jobs ADD COLUMN sweep bigint REFERENCES sweeps (id);
ALTER TABLE jobs ADD COLUMN cost double precision NOT NULL DEFAULT 0; -- grows with its time; compares jobs of one kind
UPDATE jobs SET sweep = (
    SELECT s.id
    FROM sweep_jobs AS sj
    INNER JOIN sweeps AS s ON s.id = sj.sweep
    WHERE sj.job = jobs.id
    ORDER BY s.cancelled_at IS NOT NULL, s.id
    LIMIT 1
);

-- A lease takes the oldest job of a sweep and kind that is due ...
-- `id + 0` is the order that this index has and the primary key has not: the planner would rather walk that, through all
-- jobs that are done, than this one, in the hope of meeting a queued job soon.
DROP INDEX jobs_queue;
CREATE INDEX jobs_queue ON jobs (sweep, kind, (id + 0), due_at) WHERE state = 'queued' AND ready;
-- ... or the oldest lines of one run ...
DROP INDEX jobs_queue_of_run;
CREATE INDEX jobs_queue_of_run ON jobs (run, sweep, (id + 0), due_at) WHERE state = 'queued' AND ready AND kind = 'line';
-- ... or, at the tail of a sweep, the training that takes longest.
CREATE INDEX jobs_longest ON jobs (sweep, cost DESC, id) WHERE state = 'queued' AND ready AND kind = 'train';

-- What failed is few, and shown often.
CREATE INDEX jobs_failed ON jobs (id) WHERE state = 'failed';

-- What workers are asked for, and how they fare.
ALTER TABLE workers ADD COLUMN labels text NOT NULL DEFAULT '[]' CHECK (labels::json IS NOT NULL);
ALTER TABLE workers ADD COLUMN sweep bigint REFERENCES sweeps (id); -- its last lease was for this one; NULL once gone
ALTER TABLE workers ADD COLUMN succeeded_at moment; -- its last job that is done
ALTER TABLE workers ADD COLUMN quarantined_until moment; -- NULL: it is in none
-- A training goes on to the same bytes only on workers that agree in this.
ALTER TABLE workers ADD COLUMN environment text GENERATED ALWAYS AS (
    split_part(device, ':', 1) || ' ' || libtorch || ' ' || cpu_capability
) STORED;
CREATE INDEX workers_like ON workers (environment) WHERE state = 'live';
CREATE INDEX workers_of_sweep ON workers (sweep) WHERE sweep IS NOT NULL;
CREATE INDEX workers_there ON workers (host, device) WHERE state <> 'gone';
CREATE INDEX workers_quarantined ON workers (quarantined_until) WHERE quarantined_until IS NOT NULL;

-- As before, and a lost lease is kept as well: class `gone`.
ALTER TABLE job_errors DROP CONSTRAINT job_errors_class_check;
ALTER TABLE job_errors ADD CONSTRAINT job_errors_class_check CHECK (class IN ('run', 'machine', 'gone'));
-- Quarantine counts what failed on a worker since it last succeeded.
CREATE INDEX job_errors_of_worker ON job_errors (worker, at) WHERE class = 'machine';

-- Trainings that were interrupted: the newest snapshot of each run that is not trained yet.
CREATE TABLE snapshots (
    run       bigint PRIMARY KEY REFERENCES runs (id),
    artifact  word   NOT NULL CHECK (length(artifact) = 64),
    bytes     bigint NOT NULL,
    step      bigint NOT NULL CHECK (step >= 1), -- optimiser steps done
    threads   bigint NOT NULL CHECK (threads >= 1), -- of the executor that took it
    worker    bigint NOT NULL REFERENCES workers (id), -- says on which device, with which libtorch
    stored_at moment NOT NULL
);
-- Collections of artifacts ask who names each.
CREATE INDEX snapshots_by_artifact ON snapshots (artifact);
CREATE INDEX checkpoints_by_artifact ON checkpoints (artifact);

-- Trainings that worker `asks` would have to begin anew, while another worker is there that could go on: they are left to
-- that one. The coordinator's own view, as the underscore says.
CREATE VIEW _begun_elsewhere AS
SELECT s.run, asks.id AS asks
FROM snapshots AS s
INNER JOIN workers AS took ON took.id = s.worker
CROSS JOIN workers AS asks
WHERE
    asks.environment <> took.environment
    AND EXISTS (
        SELECT 1
        FROM workers AS o
        WHERE o.environment = took.environment AND o.state = 'live' AND o.quarantined_until IS NULL
    );

-- Lines that differ in their alphas alone: a new one takes over the points that an older one has. Found by a digest, since
-- an index takes no long text.
ALTER TABLE lines ADD COLUMN family text GENERATED ALWAYS AS (md5((spec::jsonb - 'alphas')::text)) STORED;
CREATE INDEX lines_of_family ON lines (family);

-- The jobs of each sweep, counted by kind and model. Kept by the trigger below; `shard` lets several writers of one
-- database count side by side, and their sum is what holds: that of one shard may be negative.
CREATE TABLE sweep_totals (
    sweep            bigint           NOT NULL REFERENCES sweeps (id),
    kind             word             NOT NULL,
    model            word             NOT NULL,
    shard            bigint           NOT NULL DEFAULT 0,
    jobs             bigint           NOT NULL,
    queued           bigint           NOT NULL,
    leased           bigint           NOT NULL,
    done             bigint           NOT NULL,
    failed           bigint           NOT NULL,
    cancelled        bigint           NOT NULL,
    points           bigint           NOT NULL,
    points_expected  bigint           NOT NULL,
    cost_left        double precision NOT NULL, -- of jobs that are queued or leased
    cost_done        double precision NOT NULL, -- of jobs that are done
    seconds          double precision NOT NULL, -- of work that these took
    last_finished_at moment, -- latest end of a job
    PRIMARY KEY (sweep, kind, model, shard)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

INSERT INTO sweep_totals (
    sweep, kind, model, shard, jobs, queued, leased, done, failed, cancelled, points, points_expected,
    cost_left, cost_done, seconds, last_finished_at
)
SELECT
    sj.sweep,
    j.kind,
    r.model,
    0,
    count(*),
    count(*) FILTER (WHERE j.state = 'queued'),
    count(*) FILTER (WHERE j.state = 'leased'),
    count(*) FILTER (WHERE j.state = 'done'),
    count(*) FILTER (WHERE j.state = 'failed'),
    count(*) FILTER (WHERE j.state = 'cancelled'),
    sum(j.points),
    sum(j.points_expected),
    0,
    0,
    0,
    max(j.finished_at)
FROM sweep_jobs AS sj
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN runs AS r ON r.id = j.run
GROUP BY sj.sweep, j.kind, r.model;

-- All jobs, counted by kind, each once however many sweeps need it; kept likewise. New jobs are added by the submission that
-- stores them.
CREATE TABLE job_totals (
    kind      word   NOT NULL,
    shard     bigint NOT NULL,
    queued    bigint NOT NULL,
    leased    bigint NOT NULL,
    done      bigint NOT NULL,
    failed    bigint NOT NULL,
    cancelled bigint NOT NULL,
    points    bigint NOT NULL,
    PRIMARY KEY (kind, shard)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

INSERT INTO job_totals (kind, shard, queued, leased, done, failed, cancelled, points)
SELECT
    kind,
    0,
    count(*) FILTER (WHERE state = 'queued'),
    count(*) FILTER (WHERE state = 'leased'),
    count(*) FILTER (WHERE state = 'done'),
    count(*) FILTER (WHERE state = 'failed'),
    count(*) FILTER (WHERE state = 'cancelled'),
    sum(points)
FROM jobs
GROUP BY kind;

-- Every change of jobs is counted in each sweep that needs them, once for each statement. A sweep that is being submitted
-- has no totals yet; they are the last that its submission writes. Each server process has a shard, so that two seldom wait
-- for each other, and takes rows in the order of their key, so that neither waits for ever.
CREATE FUNCTION count_job_changes() RETURNS trigger LANGUAGE plpgsql
-- Its plans are made once for each connection, perhaps for one job or for small tables, and must do for a million: jobs are
-- grouped with themselves instead of joined, and everything else is looked up by its key.
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    WITH changed AS MATERIALIZED (
        SELECT
            c.id,
            max(c.kind) AS kind,
            max(c.run) AS run,
            max(c.state) FILTER (WHERE c.is_new) AS now,
            max(c.state) FILTER (WHERE NOT c.is_new) AS before,
            sum(CASE WHEN c.is_new THEN c.points ELSE -c.points END) AS points,
            max(c.cost) FILTER (WHERE c.is_new) AS cost,
            max(c.cost) FILTER (WHERE NOT c.is_new) AS cost_before,
            max(c.seconds) FILTER (WHERE c.is_new) AS seconds,
            max(c.finished_at) FILTER (WHERE c.is_new) AS finished_at
        FROM (
            SELECT id, kind, run, state, points, cost, seconds, finished_at, TRUE AS is_new FROM new_jobs
            UNION ALL
            SELECT id, kind, run, state, points, cost, seconds, finished_at, FALSE AS is_new FROM old_jobs
        ) AS c
        GROUP BY c.id
        HAVING count(DISTINCT c.state) > 1 OR count(DISTINCT c.points) > 1
    ),

    counted AS (
        INSERT INTO job_totals AS t (kind, shard, queued, leased, done, failed, cancelled, points)
        SELECT
            c.kind,
            1 + pg_backend_pid() % 64,
            sum((c.now = 'queued')::int - (c.before = 'queued')::int),
            sum((c.now = 'leased')::int - (c.before = 'leased')::int),
            sum((c.now = 'done')::int - (c.before = 'done')::int),
            sum((c.now = 'failed')::int - (c.before = 'failed')::int),
            sum((c.now = 'cancelled')::int - (c.before = 'cancelled')::int),
            sum(c.points)
        FROM changed AS c
        GROUP BY c.kind
        ORDER BY c.kind
        ON CONFLICT (kind, shard) DO UPDATE
        SET
            queued = t.queued + excluded.queued,
            leased = t.leased + excluded.leased,
            done = t.done + excluded.done,
            failed = t.failed + excluded.failed,
            cancelled = t.cancelled + excluded.cancelled,
            points = t.points + excluded.points
    ),

    woken AS (
        -- A finished sweep is at work again as soon as one of its jobs is queued.
        UPDATE sweeps AS s
        SET rolled_up_at = NULL
        WHERE
            s.rolled_up_at IS NOT NULL
            AND s.id IN (
                SELECT sj.sweep
                FROM changed AS c
                INNER JOIN sweep_jobs AS sj ON sj.job = c.id
                WHERE c.now = 'queued' AND c.before IN ('done', 'failed', 'cancelled')
            )
    )

    INSERT INTO sweep_totals AS t (
        sweep, kind, model, shard, jobs, queued, leased, done, failed, cancelled, points, points_expected,
        cost_left, cost_done, seconds, last_finished_at
    )
    SELECT
        sj.sweep,
        c.kind,
        r.model,
        1 + pg_backend_pid() % 64,
        0,
        sum((c.now = 'queued')::int - (c.before = 'queued')::int),
        sum((c.now = 'leased')::int - (c.before = 'leased')::int),
        sum((c.now = 'done')::int - (c.before = 'done')::int),
        sum((c.now = 'failed')::int - (c.before = 'failed')::int),
        sum((c.now = 'cancelled')::int - (c.before = 'cancelled')::int),
        sum(c.points),
        0,
        sum(
            CASE WHEN c.now IN ('queued', 'leased') THEN c.cost ELSE 0 END
            - CASE WHEN c.before IN ('queued', 'leased') THEN c.cost_before ELSE 0 END
        ),
        sum(CASE WHEN c.now = 'done' AND c.before <> 'done' THEN c.cost ELSE 0 END),
        sum(CASE WHEN c.now = 'done' AND c.before <> 'done' AND c.cost > 0 THEN coalesce(c.seconds, 0) ELSE 0 END),
        max(c.finished_at)
    FROM changed AS c
    INNER JOIN sweep_jobs AS sj ON sj.job = c.id
    INNER JOIN runs AS r ON r.id = c.run
    WHERE
        EXISTS (
            SELECT 1 FROM sweep_totals AS f
            WHERE f.sweep = sj.sweep AND f.kind = c.kind AND f.model = r.model AND f.shard = 0
        )
    GROUP BY sj.sweep, c.kind, r.model
    ORDER BY sj.sweep, c.kind, r.model
    ON CONFLICT (sweep, kind, model, shard) DO UPDATE
    SET
        queued = t.queued + excluded.queued,
        leased = t.leased + excluded.leased,
        done = t.done + excluded.done,
        failed = t.failed + excluded.failed,
        cancelled = t.cancelled + excluded.cancelled,
        points = t.points + excluded.points,
        cost_left = t.cost_left + excluded.cost_left,
        cost_done = t.cost_done + excluded.cost_done,
        seconds = t.seconds + excluded.seconds,
        last_finished_at = greatest(t.last_finished_at, excluded.last_finished_at);
    RETURN NULL;
END;
$$;
CREATE TRIGGER count_job_changes AFTER UPDATE ON jobs
REFERENCING OLD TABLE AS old_jobs NEW TABLE AS new_jobs
FOR EACH STATEMENT EXECUTE FUNCTION count_job_changes();

-- As before, from the totals, with the sweep's scheduling at the end.
DROP VIEW sweep_progress;
CREATE VIEW sweep_progress AS
SELECT
    s.sweep_id,
    s.name,
    CASE
        WHEN s.cancelled_at IS NOT NULL THEN 'cancelled'
        WHEN coalesce(sum(t.queued + t.leased), 0) > 0 AND s.paused_at IS NOT NULL THEN 'paused'
        WHEN coalesce(sum(t.queued + t.leased), 0) > 0 THEN 'running'
        WHEN coalesce(sum(t.failed), 0) > 0 THEN 'failed'
        WHEN coalesce(sum(t.cancelled), 0) > 0 THEN 'cancelled'
        ELSE 'done'
    END AS state,
    s.submitted_at,
    s.runs,
    coalesce(sum(t.jobs), 0)::bigint AS jobs,
    coalesce(sum(t.queued), 0)::bigint AS queued,
    coalesce(sum(t.leased), 0)::bigint AS leased,
    coalesce(sum(t.done), 0)::bigint AS done,
    coalesce(sum(t.failed), 0)::bigint AS failed,
    coalesce(sum(t.cancelled), 0)::bigint AS cancelled,
    coalesce(sum(t.points), 0)::bigint AS points,
    coalesce(sum(t.points_expected), 0)::bigint AS points_expected,
    coalesce(sum(t.jobs) FILTER (WHERE t.kind = 'train'), 0)::bigint AS train_jobs,
    coalesce(sum(t.done) FILTER (WHERE t.kind = 'train'), 0)::bigint AS train_done,
    CASE
        WHEN s.cancelled_at IS NOT NULL THEN s.cancelled_at
        WHEN coalesce(sum(t.queued + t.leased), 0) = 0
        -- A sweep whose jobs were all done before it came is finished when it is submitted.
        THEN greatest(s.submitted_at, max(t.last_finished_at))
    END AS finished_at,
    s.priority,
    s.share,
    s.max_workers,
    (
        SELECT count(*)
        FROM workers AS w
        WHERE
            w.sweep = s.id
            AND EXISTS (SELECT 1 FROM jobs AS j WHERE j.worker = w.id AND j.state = 'leased')
    ) AS workers
FROM sweeps AS s
LEFT JOIN sweep_totals AS t ON t.sweep = s.id
GROUP BY s.id;
