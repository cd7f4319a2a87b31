PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO _sqlx_migrations VALUES(1,'first','2026-01-01 03:32:27',1,X'f4d78d638437e20c7a1a06d591790fdd4ca301196d9370d1aa2b60da07041f69b8be47306f0a6787e56dfda1f977845c',5876160);
INSERT INTO _sqlx_migrations VALUES(2,'views','2026-01-01 03:32:27',1,X'e0b40272045a2551faf7ef36b60e981a9adbf4d7cc8365d7fbf39ac110bf008c7cfb8aa20e983ab1bc6deda90feb5e5c',5820828);
INSERT INTO _sqlx_migrations VALUES(3,'graph','2026-01-01 03:32:27',1,X'74244a1d2d8886bdbd72414489f8741f49efc73f2510426769a83b6c92cf615fccb1c17fe87cbd4d262e37b0a17b2c7b',19450934);
CREATE TABLE sweeps (
    id              INTEGER PRIMARY KEY,
    sweep_id        TEXT    NOT NULL GENERATED ALWAYS AS ('s-' || id) VIRTUAL,
    name            TEXT    NOT NULL,
    file            TEXT    NOT NULL,        -- the sweep file as it was submitted
    file_digest     TEXT    NOT NULL,        -- its BLAKE3
    idempotency_key TEXT    NOT NULL UNIQUE,
    submitted_at    TEXT    NOT NULL,
    cancelled_at    TEXT                     -- NULL while the sweep is live
) STRICT;
INSERT INTO sweeps VALUES(1,'half-done',replace('name = "half-done"\n[data]\nset = "spirals"\ntrain_size = 60000\ntest_size = 40000\n[model]\narchitecture = "mlp"\n[model.mlp]\nwidths = [32]\n[train]\nseed = "0..3"\noptimizer = { name = "sgd", lr = 0.1 }\nepochs = 2\nbatch_size = 256\nkeep = ["init", "final"]\n[[probe]]\nkind = "line"\nalphas = { start = 0.0, stop = 1.0, count = 5 }\nlayers = ["all", "fc1"]\nsplits = ["train", "test"]\n','\n',char(10)),'3f4ec8a99e9688407259376bfffea00e1241a3f4a7b95bae2271333002e45407','3f4ec8a99e9688407259376bfffea00e1241a3f4a7b95bae2271333002e45407','2026-01-01T03:32:27.564Z',NULL);
CREATE TABLE runs (
    id         INTEGER PRIMARY KEY,
    digest     TEXT    NOT NULL UNIQUE CHECK (length(digest) = 64),
    spec       TEXT    NOT NULL,             -- canonical form (JSON); its BLAKE3 is the digest
    model      TEXT    NOT NULL,             -- architecture
    seed       INTEGER,                      -- NULL for checkpoints trained elsewhere
    created_at TEXT    NOT NULL
) STRICT;
INSERT INTO runs VALUES(1,'2d15f650cbd677788109e7b33409e25fba06529d75f8410f2cbcc14c84b53d8b','{"data":{"set":"spirals","test_size":40000,"train_size":60000},"model":{"architecture":"mlp","widths":[32]},"origin":{"trained":{"train":{"batch_size":256,"epochs":2,"optimizer":{"name":"sgd"},"seed":0}}}}','mlp',0,'2026-01-01T03:32:27.564Z');
INSERT INTO runs VALUES(2,'73d7448188f6a92036e36dff628d1c0478c31f13e001d70bf166200460918992','{"data":{"set":"spirals","test_size":40000,"train_size":60000},"model":{"architecture":"mlp","widths":[32]},"origin":{"trained":{"train":{"batch_size":256,"epochs":2,"optimizer":{"name":"sgd"},"seed":1}}}}','mlp',1,'2026-01-01T03:32:27.564Z');
INSERT INTO runs VALUES(3,'d392d59694491db3d0714d7c4d4b6a495a5f352e6317bbbc6f3a89defc2791c1','{"data":{"set":"spirals","test_size":40000,"train_size":60000},"model":{"architecture":"mlp","widths":[32]},"origin":{"trained":{"train":{"batch_size":256,"epochs":2,"optimizer":{"name":"sgd"},"seed":2}}}}','mlp',2,'2026-01-01T03:32:27.564Z');
CREATE TABLE sweep_runs (
    sweep    INTEGER NOT NULL REFERENCES sweeps (id),
    position INTEGER NOT NULL,
    run      INTEGER NOT NULL REFERENCES runs (id),
    settings TEXT    NOT NULL CHECK (json_valid(settings)), -- every axis value of the run, as a JSON object
    PRIMARY KEY (sweep, position),
    UNIQUE (sweep, run)
) STRICT, WITHOUT ROWID;
INSERT INTO sweep_runs VALUES(1,0,1,'{"train.seed":0}');
INSERT INTO sweep_runs VALUES(1,1,2,'{"train.seed":1}');
INSERT INTO sweep_runs VALUES(1,2,3,'{"train.seed":2}');
CREATE TABLE lines (
    id         INTEGER PRIMARY KEY,
    digest     TEXT    NOT NULL UNIQUE CHECK (length(digest) = 64),
    spec       TEXT    NOT NULL,             -- canonical form (JSON); its BLAKE3 is the digest
    from_tag   TEXT    NOT NULL,
    to_tag     TEXT    NOT NULL,
    mask       TEXT    NOT NULL,
    hold       TEXT    NOT NULL,
    batch_norm TEXT    NOT NULL CHECK (batch_norm IN ('none', 'interpolate', 'recalibrate', 'batch')),
    subset     INTEGER                       -- images evaluated of each split; NULL for all
, elsewhere TEXT, align INTEGER NOT NULL DEFAULT 0 CHECK (align IN (0, 1)), normalize TEXT NOT NULL DEFAULT 'none' CHECK (normalize IN ('none', 'filter'))) STRICT;
INSERT INTO lines VALUES(1,'582ee93ddedeca628eedacd55f9530b0803b55fc621805b82a580c92689c619a','{"alphas":[0.0,0.25,0.5,0.75,1.0],"batch_norm":"none","mask":"fc1","splits":["train","test"]}','init','final','fc1','final','none',NULL,NULL,0,'none');
INSERT INTO lines VALUES(2,'f2a61ef7788646a3f9f12b660275b17edfb2903af9aa072f8dfda92111d1c4cb','{"alphas":[0.0,0.25,0.5,0.75,1.0],"batch_norm":"none","mask":"all","splits":["train","test"]}','init','final','all','final','none',NULL,NULL,0,'none');
CREATE TABLE workers (
    id             INTEGER PRIMARY KEY,
    name           TEXT    NOT NULL,         -- host, device and process id
    state          TEXT    NOT NULL CHECK (state IN ('live', 'draining', 'gone')),
    host           TEXT    NOT NULL,
    pid            INTEGER NOT NULL,
    device         TEXT    NOT NULL,
    device_name    TEXT    NOT NULL,
    memory_bytes   INTEGER NOT NULL,
    libtorch       TEXT    NOT NULL,
    cpu_capability TEXT    NOT NULL,
    threads        INTEGER NOT NULL,
    version        TEXT    NOT NULL,
    registered_at  TEXT    NOT NULL,
    seen_at        TEXT    NOT NULL,
    expires_at     TEXT    NOT NULL,         -- silent until then: gone
    done           INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO workers VALUES(1,'vm/cpu/24606','live','vm',24606,'cpu','AMD EPYC',25276502016,'2.11.0','AVX512',1,'0.1.0','2026-01-01T03:32:31.063Z','2026-01-01T03:32:43.430Z','2026-01-01T03:33:13.430Z',1);
CREATE TABLE jobs (
    id              INTEGER PRIMARY KEY,
    kind            TEXT    NOT NULL CHECK (kind IN ('train', 'line')),
    run             INTEGER NOT NULL REFERENCES runs (id),
    line            INTEGER REFERENCES lines (id),
    state           TEXT    NOT NULL CHECK (state IN ('queued', 'leased', 'done', 'failed', 'cancelled')),
    ready           INTEGER NOT NULL CHECK (ready IN (0, 1)), -- for a line: its run is trained; kept true in every state
    due_at          TEXT    NOT NULL,        -- not leased before
    attempt         INTEGER NOT NULL DEFAULT 0, -- leases so far; only grows, and fences every write
    failures        INTEGER NOT NULL DEFAULT 0, -- failed attempts since it was queued by a user
    lost            INTEGER NOT NULL DEFAULT 0, -- leases lost in a row
    worker          INTEGER REFERENCES workers (id), -- holds it, or held it last
    expires_at      TEXT,                    -- end of the lease
    fraction        REAL    NOT NULL DEFAULT 0, -- share done, as the worker says
    progress        TEXT    NOT NULL DEFAULT '', -- likewise, for people
    points          INTEGER NOT NULL DEFAULT 0, -- rows in `points`
    points_expected INTEGER NOT NULL,
    queued_at       TEXT    NOT NULL,
    started_at      TEXT,
    finished_at     TEXT,
    seconds         REAL,                    -- work of the attempt that finished it
    threads         INTEGER,                 -- threads of its executor
    error           TEXT,                    -- last error, or why it will not run
    error_class     TEXT    CHECK (error_class IN ('run', 'machine')), -- of the attempt that failed; NULL if it waited for one that did
    blocked_by      INTEGER REFERENCES jobs (id), -- the failed training job that this line waited for
    CHECK ((kind = 'line') = (line IS NOT NULL)),
    CHECK ((state = 'leased') = (expires_at IS NOT NULL)),
    CHECK ((state IN ('done', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK (points <= points_expected)
) STRICT;
INSERT INTO jobs VALUES(1,'train',1,NULL,'done',1,'2026-01-01T03:32:27.564Z',1,0,0,1,NULL,1.0,'',0,0,'2026-01-01T03:32:27.564Z','2026-01-01T03:32:31.083Z','2026-01-01T03:32:42.909Z',1.8899494539999999176,1,NULL,NULL,NULL);
INSERT INTO jobs VALUES(2,'train',2,NULL,'queued',1,'2026-01-01T03:32:27.564Z',0,0,0,NULL,NULL,0.0,'',0,0,'2026-01-01T03:32:27.564Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(3,'train',3,NULL,'queued',1,'2026-01-01T03:32:27.564Z',0,0,0,NULL,NULL,0.0,'',0,0,'2026-01-01T03:32:27.564Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(4,'line',1,2,'leased',1,'2026-01-01T03:32:27.564Z',1,0,0,1,'2026-01-01T03:33:12.933Z',0.0,'',4,10,'2026-01-01T03:32:27.564Z','2026-01-01T03:32:42.933Z',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(5,'line',1,1,'leased',1,'2026-01-01T03:32:27.564Z',1,0,0,1,'2026-01-01T03:33:12.933Z',0.0,'',0,10,'2026-01-01T03:32:27.564Z','2026-01-01T03:32:42.933Z',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(6,'line',2,2,'queued',0,'2026-01-01T03:32:27.564Z',0,0,0,NULL,NULL,0.0,'',0,10,'2026-01-01T03:32:27.564Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(7,'line',2,1,'queued',0,'2026-01-01T03:32:27.564Z',0,0,0,NULL,NULL,0.0,'',0,10,'2026-01-01T03:32:27.564Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(8,'line',3,2,'queued',0,'2026-01-01T03:32:27.564Z',0,0,0,NULL,NULL,0.0,'',0,10,'2026-01-01T03:32:27.564Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO jobs VALUES(9,'line',3,1,'queued',0,'2026-01-01T03:32:27.564Z',0,0,0,NULL,NULL,0.0,'',0,10,'2026-01-01T03:32:27.564Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE sweep_jobs (
    sweep    INTEGER NOT NULL REFERENCES sweeps (id),
    job      INTEGER NOT NULL REFERENCES jobs (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (sweep, job),
    UNIQUE (sweep, position)
) STRICT, WITHOUT ROWID;
INSERT INTO sweep_jobs VALUES(1,1,0);
INSERT INTO sweep_jobs VALUES(1,2,3);
INSERT INTO sweep_jobs VALUES(1,3,6);
INSERT INTO sweep_jobs VALUES(1,4,1);
INSERT INTO sweep_jobs VALUES(1,5,2);
INSERT INTO sweep_jobs VALUES(1,6,4);
INSERT INTO sweep_jobs VALUES(1,7,5);
INSERT INTO sweep_jobs VALUES(1,8,7);
INSERT INTO sweep_jobs VALUES(1,9,8);
CREATE TABLE job_errors (
    job     INTEGER NOT NULL REFERENCES jobs (id),
    attempt INTEGER NOT NULL,
    at      TEXT    NOT NULL,
    class   TEXT    NOT NULL CHECK (class IN ('run', 'machine')),
    message TEXT    NOT NULL,
    worker  INTEGER NOT NULL REFERENCES workers (id),
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoints (
    run       INTEGER NOT NULL REFERENCES runs (id),
    tag       TEXT    NOT NULL,
    artifact  TEXT    NOT NULL CHECK (length(artifact) = 64),
    bytes     INTEGER NOT NULL,
    stored_at TEXT    NOT NULL,
    PRIMARY KEY (run, tag)
) STRICT, WITHOUT ROWID;
INSERT INTO checkpoints VALUES(1,'final','4ee49c46096812e182de76b63be21905dfcaca83ee4eefda4536c9b87fa251bf',928,'2026-01-01T03:32:42.909Z');
INSERT INTO checkpoints VALUES(1,'init','939cf2bb5cd484d56e28c8ee32b240cf33139372a73cf72deefaf828ff50131d',928,'2026-01-01T03:32:41.507Z');
CREATE TABLE curves (
    run           INTEGER NOT NULL REFERENCES runs (id),
    epoch         INTEGER NOT NULL CHECK (epoch >= 0),
    split         TEXT    NOT NULL CHECK (split IN ('train', 'test')),
    loss          REAL    NOT NULL,
    accuracy      REAL    NOT NULL CHECK (accuracy BETWEEN 0 AND 1),
    learning_rate REAL    NOT NULL,
    seconds       REAL    NOT NULL,
    PRIMARY KEY (run, epoch, split)
) STRICT, WITHOUT ROWID;
INSERT INTO curves VALUES(1,0,'test',0.68209089888874518958,0.53042500000000003534,0.0,0.21635054100000000731);
INSERT INTO curves VALUES(1,1,'test',0.65518701762802333821,0.64882499999999998507,0.10000000000000000555,0.94063016700000001701);
INSERT INTO curves VALUES(1,1,'train',0.6595361399014790793,0.63338333333333329822,0.10000000000000000555,0.90065630900000004377);
INSERT INTO curves VALUES(1,2,'test',0.65141284059074666679,0.6240499999999999936,0.10000000000000000555,1.8896581009999999789);
INSERT INTO curves VALUES(1,2,'train',0.65339987703959145903,0.64185000000000003161,0.10000000000000000555,1.6620327839999999852);
CREATE TABLE points (
    job      INTEGER NOT NULL REFERENCES jobs (id),
    split    TEXT    NOT NULL CHECK (split IN ('train', 'test')),
    place    INTEGER NOT NULL CHECK (place >= 0), -- in the alpha grid
    alpha    REAL    NOT NULL,
    loss     REAL,                           -- infinity is stored as such; NULL: it is not a number
    accuracy REAL    NOT NULL CHECK (accuracy BETWEEN 0 AND 1),
    count    INTEGER NOT NULL CHECK (count >= 1),
    worker   INTEGER NOT NULL REFERENCES workers (id), -- says on which device, with which libtorch
    PRIMARY KEY (job, split, place)
) STRICT, WITHOUT ROWID;
INSERT INTO points VALUES(4,'test',0,0.0,0.68209089888874596674,0.53042500000000003534,40000,1);
INSERT INTO points VALUES(4,'test',1,0.25,0.67002787849964495769,0.60660000000000002806,40000,1);
INSERT INTO points VALUES(4,'train',0,0.0,0.68220046960442504158,0.53106666666666668685,60000,1);
INSERT INTO points VALUES(4,'train',1,0.25,0.67014375038918894134,0.6065666666666666984,60000,1);
CREATE TABLE imports (
    name       TEXT    NOT NULL PRIMARY KEY,
    model      TEXT    NOT NULL CHECK (json_valid(model)), -- as in a run's canonical form
    input      TEXT    NOT NULL CHECK (json_array_length(input) = 3), -- channels, height, width
    classes    INTEGER NOT NULL CHECK (classes >= 1),
    created_at TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE import_checkpoints (
    import   TEXT    NOT NULL REFERENCES imports (name),
    tag      TEXT    NOT NULL,
    artifact TEXT    NOT NULL CHECK (length(artifact) = 64),
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (import, tag)
) STRICT, WITHOUT ROWID;
CREATE TABLE job_needs (
    job INTEGER NOT NULL REFERENCES jobs (id),
    run INTEGER NOT NULL REFERENCES runs (id),
    tag TEXT    NOT NULL,
    PRIMARY KEY (job, run, tag)
) STRICT, WITHOUT ROWID;
CREATE TABLE measures (
    job    INTEGER NOT NULL REFERENCES jobs (id),
    split  TEXT    NOT NULL CHECK (split IN ('', 'train', 'test')), -- empty for what depends on no images
    name   TEXT    NOT NULL,
    value  REAL    NOT NULL,
    worker INTEGER NOT NULL REFERENCES workers (id), -- says on which device, with which libtorch
    PRIMARY KEY (job, split, name)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX sweeps_by_sweep_id ON sweeps (sweep_id);
CREATE INDEX sweeps_by_name ON sweeps (name, id);
CREATE UNIQUE INDEX jobs_train ON jobs (run) WHERE kind = 'train';
CREATE UNIQUE INDEX jobs_line ON jobs (run, line) WHERE kind = 'line';
CREATE INDEX jobs_queue ON jobs (kind, id, due_at) WHERE state = 'queued' AND ready = 1;
CREATE INDEX jobs_queue_of_run ON jobs (run, id, due_at) WHERE state = 'queued' AND ready = 1 AND kind = 'line';
CREATE INDEX jobs_leased ON jobs (worker, expires_at) WHERE state = 'leased';
CREATE INDEX jobs_blocked ON jobs (blocked_by) WHERE blocked_by IS NOT NULL;
CREATE INDEX sweep_jobs_by_job ON sweep_jobs (job, sweep);
CREATE INDEX import_checkpoints_by_artifact ON import_checkpoints (artifact, bytes);
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
    coalesce(sum(j.points), 0) AS points,
    coalesce(sum(j.points_expected), 0) AS points_expected,
    count(*) FILTER (WHERE j.kind = 'train') AS train_jobs,
    count(*) FILTER (WHERE j.kind = 'train' AND j.state = 'done') AS train_done,
    CASE
        WHEN s.cancelled_at IS NOT NULL THEN s.cancelled_at
        WHEN count(*) FILTER (WHERE j.state IN ('queued', 'leased')) = 0
        -- A sweep whose jobs were all done before it came is finished when it is submitted.
        THEN max(s.submitted_at, coalesce(max(j.finished_at), s.submitted_at))
    END AS finished_at
FROM sweeps AS s
LEFT JOIN sweep_jobs AS sj ON sj.sweep = s.id
LEFT JOIN jobs AS j ON j.id = sj.job
GROUP BY s.id, s.sweep_id, s.name, s.submitted_at, s.cancelled_at
;
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
CREATE INDEX job_needs_by_run ON job_needs (run, job);
CREATE INDEX jobs_failed_train ON jobs (id) WHERE kind = 'train' AND state = 'failed';
CREATE VIEW _job_sources AS
SELECT l.id AS job, t.id AS source, t.state AS state
FROM jobs AS l
INNER JOIN jobs AS t ON t.run = l.run AND t.kind = 'train'
WHERE l.kind = 'line'
UNION ALL
SELECT n.job AS job, t.id AS source, t.state AS state
FROM job_needs AS n
INNER JOIN jobs AS t ON t.run = n.run AND t.kind = 'train';
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
    w.libtorch,
    l.elsewhere,
    l.align,
    l.normalize
FROM sweeps AS s
INNER JOIN sweep_jobs AS sj ON sj.sweep = s.id
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN lines AS l ON l.id = j.line
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN sweep_runs AS sr ON sr.sweep = s.id AND sr.run = j.run
INNER JOIN points AS p ON p.job = j.id
INNER JOIN workers AS w ON w.id = p.worker;
CREATE VIEW line_measures AS
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
    m.split,
    m.name,
    m.value,
    m.job AS job_id,
    l.subset,
    l.elsewhere,
    l.align,
    l.normalize
FROM sweeps AS s
INNER JOIN sweep_jobs AS sj ON sj.sweep = s.id
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN lines AS l ON l.id = j.line
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN sweep_runs AS sr ON sr.sweep = s.id AND sr.run = j.run
INNER JOIN measures AS m ON m.job = j.id;
CREATE VIEW run_sources AS
SELECT
    r.digest AS run,
    r.model,
    r.seed,
    v.key AS position,
    v.value ->> '$.mask' AS mask,
    v.value ->> '$.source.kind' AS kind,
    v.value ->> '$.source.run' AS source_run,
    v.value ->> '$.source.tag' AS source_tag,
    v.value ->> '$.source.from' AS from_tag,
    v.value ->> '$.source.to' AS to_tag,
    v.value ->> '$.source.alpha' AS alpha,
    v.value ->> '$.source.artifact' AS artifact,
    v.value ->> '$.source.seed' AS source_seed
FROM runs AS r
INNER JOIN json_each(r.spec, '$.origin.trained.init.layers') AS v;
COMMIT;
