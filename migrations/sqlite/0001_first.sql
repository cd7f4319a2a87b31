-- The first schema. Times are TEXT, RFC 3339, UTC, milliseconds, so that plain SQL can read and compare them.
-- Nothing is ever deleted. Points and history live apart from `jobs`, whose rows are small and updated in place.
-- What users read are the views in 0002; the tables may change from version to version.

-- What users submit.
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

-- Views are asked for a sweep by its id (`s-7`) or by name.
CREATE UNIQUE INDEX sweeps_by_sweep_id ON sweeps (sweep_id);
CREATE INDEX sweeps_by_name ON sweeps (name, id);

-- One training identity each, shared by all sweeps.
CREATE TABLE runs (
    id         INTEGER PRIMARY KEY,
    digest     TEXT    NOT NULL UNIQUE CHECK (length(digest) = 64),
    spec       TEXT    NOT NULL,             -- canonical form (JSON); its BLAKE3 is the digest
    model      TEXT    NOT NULL,             -- architecture
    seed       INTEGER,                      -- NULL for checkpoints trained elsewhere
    created_at TEXT    NOT NULL
) STRICT;

-- Runs of a sweep, in the order of its expansion.
CREATE TABLE sweep_runs (
    sweep    INTEGER NOT NULL REFERENCES sweeps (id),
    position INTEGER NOT NULL,
    run      INTEGER NOT NULL REFERENCES runs (id),
    settings TEXT    NOT NULL CHECK (json_valid(settings)), -- every axis value of the run, as a JSON object
    PRIMARY KEY (sweep, position),
    UNIQUE (sweep, run)
) STRICT, WITHOUT ROWID;

-- Line probes, shared by all runs that they are taken of.
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
) STRICT;

-- Daemons that work or have worked, one row for each start.
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

-- The queue: one job for each run that is trained here, and one for each line of each run.
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

-- Submission finds jobs that are there; the end of training finds the lines that wait for it.
CREATE UNIQUE INDEX jobs_train ON jobs (run) WHERE kind = 'train';
CREATE UNIQUE INDEX jobs_line ON jobs (run, line) WHERE kind = 'line';
-- A lease takes the oldest job of a kind that is due ...
CREATE INDEX jobs_queue ON jobs (kind, id, due_at) WHERE state = 'queued' AND ready = 1;
-- ... or the oldest lines of one run.
CREATE INDEX jobs_queue_of_run ON jobs (run, id, due_at) WHERE state = 'queued' AND ready = 1 AND kind = 'line';
-- Expiry, departures and the list of workers look at leased jobs only, which are few.
CREATE INDEX jobs_leased ON jobs (worker, expires_at) WHERE state = 'leased';
-- Retry finds the lines that a failed training job took with it.
CREATE INDEX jobs_blocked ON jobs (blocked_by) WHERE blocked_by IS NOT NULL;

-- Which sweep needs which job, in the order of its expansion.
CREATE TABLE sweep_jobs (
    sweep    INTEGER NOT NULL REFERENCES sweeps (id),
    job      INTEGER NOT NULL REFERENCES jobs (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (sweep, job),
    UNIQUE (sweep, position)
) STRICT, WITHOUT ROWID;

-- Cancelling asks which other sweeps need a job.
CREATE INDEX sweep_jobs_by_job ON sweep_jobs (job, sweep);

-- Every failed attempt of every job.
CREATE TABLE job_errors (
    job     INTEGER NOT NULL REFERENCES jobs (id),
    attempt INTEGER NOT NULL,
    at      TEXT    NOT NULL,
    class   TEXT    NOT NULL CHECK (class IN ('run', 'machine')),
    message TEXT    NOT NULL,
    worker  INTEGER NOT NULL REFERENCES workers (id),
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

-- Checkpoints of runs. A later attempt at training replaces those of an earlier one that did not finish.
CREATE TABLE checkpoints (
    run       INTEGER NOT NULL REFERENCES runs (id),
    tag       TEXT    NOT NULL,
    artifact  TEXT    NOT NULL CHECK (length(artifact) = 64),
    bytes     INTEGER NOT NULL,
    stored_at TEXT    NOT NULL,
    PRIMARY KEY (run, tag)
) STRICT, WITHOUT ROWID;

-- Training curves; replaced likewise.
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

-- Measurements.
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

-- Checkpoints trained elsewhere.
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

-- Submission of an imported run finds the size of its checkpoints.
CREATE INDEX import_checkpoints_by_artifact ON import_checkpoints (artifact, bytes);
