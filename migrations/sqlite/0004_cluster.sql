-- Scheduling between sweeps, workers that are told apart, snapshots of training, and progress that is counted as it
-- changes instead of when it is asked for.

-- How a sweep wants to be scheduled.
ALTER TABLE sweeps ADD COLUMN priority INTEGER NOT NULL DEFAULT 0; -- higher first
ALTER TABLE sweeps ADD COLUMN share REAL NOT NULL DEFAULT 1 CHECK (share > 0); -- among equals
ALTER TABLE sweeps ADD COLUMN max_workers INTEGER CHECK (max_workers >= 1); -- NULL for no limit
ALTER TABLE sweeps ADD COLUMN requires TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(requires)); -- of its workers
ALTER TABLE sweeps ADD COLUMN paused_at TEXT; -- NULL while it goes on
ALTER TABLE sweeps ADD COLUMN runs INTEGER NOT NULL DEFAULT 0; -- rows of sweep_runs
-- Set by the roll-up once nothing is left to do, so that those who look for work pass the sweep by; NULL again as soon as
-- one of its jobs is queued.
ALTER TABLE sweeps ADD COLUMN rolled_up_at TEXT;
CREATE INDEX sweeps_at_work ON sweeps (id) WHERE cancelled_at IS NULL AND rolled_up_at IS NULL;
UPDATE sweeps SET runs = (SELECT count(*) FROM sweep_runs AS sr WHERE sr.sweep = sweeps.id);

-- A job waits in the name of one sweep, though several may need it.
ALTER TABLE jobs ADD COLUMN sweep INTEGER REFERENCES sweeps (id);
ALTER TABLE jobs ADD COLUMN cost REAL NOT NULL DEFAULT 0; -- grows with its time; compares jobs of one kind
UPDATE jobs SET sweep = (
    SELECT s.id
    FROM sweep_jobs AS sj
    INNER JOIN sweeps AS s ON s.id = sj.sweep
    WHERE sj.job = jobs.id
    ORDER BY s.cancelled_at IS NOT NULL, s.id
    LIMIT 1
);

-- A lease takes the oldest job of a sweep and kind that is due ...
DROP INDEX jobs_queue;
CREATE INDEX jobs_queue ON jobs (sweep, kind, id, due_at) WHERE state = 'queued' AND ready = 1;
-- ... or the oldest lines of one run ...
DROP INDEX jobs_queue_of_run;
CREATE INDEX jobs_queue_of_run ON jobs (run, sweep, id, due_at) WHERE state = 'queued' AND ready = 1 AND kind = 'line';
-- ... or, at the tail of a sweep, the training that takes longest.
CREATE INDEX jobs_longest ON jobs (sweep, cost DESC, id) WHERE state = 'queued' AND ready = 1 AND kind = 'train';

-- What failed is few, and shown often.
CREATE INDEX jobs_failed ON jobs (id) WHERE state = 'failed';

-- What workers are asked for, and how they fare.
ALTER TABLE workers ADD COLUMN labels TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(labels));
ALTER TABLE workers ADD COLUMN sweep INTEGER REFERENCES sweeps (id); -- its last lease was for this one; NULL once gone
ALTER TABLE workers ADD COLUMN succeeded_at TEXT; -- its last job that is done
ALTER TABLE workers ADD COLUMN quarantined_until TEXT; -- NULL: it is in none
-- A training goes on to the same bytes only on workers that agree in this.
ALTER TABLE workers ADD COLUMN environment TEXT GENERATED ALWAYS AS (
    substr(device, 1, instr(device || ':', ':') - 1) || ' ' || libtorch || ' ' || cpu_capability
) VIRTUAL;
CREATE INDEX workers_like ON workers (environment) WHERE state = 'live';
CREATE INDEX workers_of_sweep ON workers (sweep) WHERE sweep IS NOT NULL;
CREATE INDEX workers_there ON workers (host, device) WHERE state <> 'gone';
CREATE INDEX workers_quarantined ON workers (quarantined_until) WHERE quarantined_until IS NOT NULL;

-- As before, and a lost lease is kept as well: class `gone`.
CREATE TABLE job_errors_new (
    job     INTEGER NOT NULL REFERENCES jobs (id),
    attempt INTEGER NOT NULL,
    at      TEXT    NOT NULL,
    class   TEXT    NOT NULL CHECK (class IN ('run', 'machine', 'gone')),
    message TEXT    NOT NULL,
    worker  INTEGER NOT NULL REFERENCES workers (id),
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;
INSERT INTO job_errors_new (job, attempt, at, class, message, worker)
SELECT job, attempt, at, class, message, worker FROM job_errors;
DROP TABLE job_errors;
ALTER TABLE job_errors_new RENAME TO job_errors;
-- Quarantine counts what failed on a worker since it last succeeded.
CREATE INDEX job_errors_of_worker ON job_errors (worker, at) WHERE class = 'machine';

-- Trainings that were interrupted: the newest snapshot of each run that is not trained yet.
CREATE TABLE snapshots (
    run       INTEGER PRIMARY KEY REFERENCES runs (id),
    artifact  TEXT    NOT NULL CHECK (length(artifact) = 64),
    bytes     INTEGER NOT NULL,
    step      INTEGER NOT NULL CHECK (step >= 1), -- optimiser steps done
    threads   INTEGER NOT NULL CHECK (threads >= 1), -- of the executor that took it
    worker    INTEGER NOT NULL REFERENCES workers (id), -- says on which device, with which libtorch
    stored_at TEXT    NOT NULL
) STRICT;
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

-- Lines that differ in their alphas alone: a new one takes over the points that an older one has.
ALTER TABLE lines ADD COLUMN family TEXT GENERATED ALWAYS AS (json_remove(spec, '$.alphas')) VIRTUAL;
CREATE INDEX lines_of_family ON lines (family);

-- The jobs of each sweep, counted by kind and model. Kept by the trigger below; `shard` lets several writers of one
-- database count side by side, and their sum is what holds.
CREATE TABLE sweep_totals (
    sweep            INTEGER NOT NULL REFERENCES sweeps (id),
    kind             TEXT    NOT NULL,
    model            TEXT    NOT NULL,
    shard            INTEGER NOT NULL DEFAULT 0,
    jobs             INTEGER NOT NULL,
    queued           INTEGER NOT NULL,
    leased           INTEGER NOT NULL,
    done             INTEGER NOT NULL,
    failed           INTEGER NOT NULL,
    cancelled        INTEGER NOT NULL,
    points           INTEGER NOT NULL,
    points_expected  INTEGER NOT NULL,
    cost_left        REAL    NOT NULL, -- of jobs that are queued or leased
    cost_done        REAL    NOT NULL, -- of jobs that are done
    seconds          REAL    NOT NULL, -- of work that these took
    last_finished_at TEXT,             -- latest end of a job
    PRIMARY KEY (sweep, kind, model, shard)
) STRICT, WITHOUT ROWID;

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
    kind      TEXT    NOT NULL,
    shard     INTEGER NOT NULL,
    queued    INTEGER NOT NULL,
    leased    INTEGER NOT NULL,
    done      INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    points    INTEGER NOT NULL,
    PRIMARY KEY (kind, shard)
) STRICT, WITHOUT ROWID;

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

-- Every change of a job is counted in each sweep that needs it. A sweep that is being submitted has no totals yet; they
-- are the last that its submission writes.
CREATE TRIGGER count_job_changes AFTER UPDATE OF state, points ON jobs
WHEN new.state <> old.state OR new.points <> old.points
BEGIN
    UPDATE sweep_totals
    SET
        queued = queued + (new.state = 'queued') - (old.state = 'queued'),
        leased = leased + (new.state = 'leased') - (old.state = 'leased'),
        done = done + (new.state = 'done') - (old.state = 'done'),
        failed = failed + (new.state = 'failed') - (old.state = 'failed'),
        cancelled = cancelled + (new.state = 'cancelled') - (old.state = 'cancelled'),
        points = points + new.points - old.points,
        cost_left = cost_left
            + (CASE WHEN new.state IN ('queued', 'leased') THEN new.cost ELSE 0 END)
            - (CASE WHEN old.state IN ('queued', 'leased') THEN old.cost ELSE 0 END),
        cost_done = cost_done + (CASE WHEN new.state = 'done' THEN new.cost ELSE 0 END),
        seconds = seconds + (CASE WHEN new.state = 'done' AND new.cost > 0 THEN coalesce(new.seconds, 0) ELSE 0 END),
        last_finished_at = CASE
            WHEN new.finished_at IS NULL THEN last_finished_at
            WHEN last_finished_at IS NULL THEN new.finished_at
            ELSE max(last_finished_at, new.finished_at)
        END
    WHERE
        sweep IN (SELECT sj.sweep FROM sweep_jobs AS sj WHERE sj.job = new.id)
        AND kind = new.kind
        AND model = (SELECT r.model FROM runs AS r WHERE r.id = new.run)
        AND shard = 0;
    UPDATE job_totals
    SET
        queued = queued + (new.state = 'queued') - (old.state = 'queued'),
        leased = leased + (new.state = 'leased') - (old.state = 'leased'),
        done = done + (new.state = 'done') - (old.state = 'done'),
        failed = failed + (new.state = 'failed') - (old.state = 'failed'),
        cancelled = cancelled + (new.state = 'cancelled') - (old.state = 'cancelled'),
        points = points + new.points - old.points
    WHERE kind = new.kind AND shard = 0;
END;

-- A finished sweep is at work again as soon as one of its jobs is queued.
CREATE TRIGGER wake_sweeps AFTER UPDATE OF state ON jobs
WHEN new.state = 'queued' AND old.state IN ('done', 'failed', 'cancelled')
BEGIN
    UPDATE sweeps
    SET rolled_up_at = NULL
    WHERE rolled_up_at IS NOT NULL AND id IN (SELECT sj.sweep FROM sweep_jobs AS sj WHERE sj.job = new.id);
END;

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
    coalesce(sum(t.jobs), 0) AS jobs,
    coalesce(sum(t.queued), 0) AS queued,
    coalesce(sum(t.leased), 0) AS leased,
    coalesce(sum(t.done), 0) AS done,
    coalesce(sum(t.failed), 0) AS failed,
    coalesce(sum(t.cancelled), 0) AS cancelled,
    coalesce(sum(t.points), 0) AS points,
    coalesce(sum(t.points_expected), 0) AS points_expected,
    coalesce(sum(t.jobs) FILTER (WHERE t.kind = 'train'), 0) AS train_jobs,
    coalesce(sum(t.done) FILTER (WHERE t.kind = 'train'), 0) AS train_done,
    CASE
        WHEN s.cancelled_at IS NOT NULL THEN s.cancelled_at
        WHEN coalesce(sum(t.queued + t.leased), 0) = 0
        -- A sweep whose jobs were all done before it came is finished when it is submitted.
        THEN max(s.submitted_at, coalesce(max(t.last_finished_at), s.submitted_at))
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
GROUP BY
    s.id, s.sweep_id, s.name, s.submitted_at, s.cancelled_at, s.paused_at, s.runs, s.priority, s.share, s.max_workers;
