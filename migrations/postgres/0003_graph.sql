-- Runs that start from other runs, lines that end in them, and what is measured of a whole line.

-- Checkpoints of other runs that a job needs: a training that starts from them, a line that ends in one.
-- The checkpoints of a line's own run are named by the line itself.
CREATE TABLE job_needs (
    job bigint NOT NULL REFERENCES jobs (id),
    run bigint NOT NULL REFERENCES runs (id),
    tag word   NOT NULL,
    PRIMARY KEY (job, run, tag)
);

-- The end of a training finds whatever waits for it.
CREATE INDEX job_needs_by_run ON job_needs (run, job);
-- Failed trainings, which take with them what waits for them.
CREATE INDEX jobs_failed_train ON jobs (id) WHERE kind = 'train' AND state = 'failed';

-- Lines that differ in what these say share no digest, and must not look alike.
ALTER TABLE lines ADD COLUMN elsewhere text; -- where to_tag lies: `run:DIGEST`, `init:SEED`; NULL for the run itself
ALTER TABLE lines ADD COLUMN align boolean NOT NULL DEFAULT FALSE; -- units of to_tag are permuted
ALTER TABLE lines ADD COLUMN normalize text NOT NULL DEFAULT 'none' CHECK (normalize IN ('none', 'filter'));

-- Numbers of whole lines.
CREATE TABLE measures (
    job    bigint           NOT NULL REFERENCES jobs (id),
    split  word             NOT NULL CHECK (split IN ('', 'train', 'test')), -- empty for what depends on no images
    name   word             NOT NULL,
    value  double precision NOT NULL,
    worker bigint           NOT NULL REFERENCES workers (id), -- says on which device, with which libtorch
    PRIMARY KEY (job, split, name)
);

-- The training jobs that each job waits for: the coordinator's own view, as the underscore says. Read both ways: by job
-- through the primary key of job_needs and jobs_train, by source through jobs_line and job_needs_by_run.
CREATE VIEW _job_sources AS
SELECT l.id AS job, t.id AS source, t.state AS state
FROM jobs AS l
INNER JOIN jobs AS t ON t.run = l.run AND t.kind = 'train'
WHERE l.kind = 'line'
UNION ALL
SELECT n.job AS job, t.id AS source, t.state AS state
FROM job_needs AS n
INNER JOIN jobs AS t ON t.run = n.run AND t.kind = 'train';

-- As before, with three columns more at the end.
DROP VIEW line_points;
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
    l.align::integer AS align,
    l.normalize
FROM sweeps AS s
INNER JOIN sweep_jobs AS sj ON sj.sweep = s.id
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN lines AS l ON l.id = j.line
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN sweep_runs AS sr ON sr.sweep = s.id AND sr.run = j.run
INNER JOIN points AS p ON p.job = j.id
INNER JOIN workers AS w ON w.id = p.worker;

-- One row for each number measured of a whole line of each sweep that asked for it.
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
    l.align::integer AS align,
    l.normalize
FROM sweeps AS s
INNER JOIN sweep_jobs AS sj ON sj.sweep = s.id
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN lines AS l ON l.id = j.line
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN sweep_runs AS sr ON sr.sweep = s.id AND sr.run = j.run
INNER JOIN measures AS m ON m.job = j.id;

-- One row for each start that a run takes from elsewhere, in the order in which they are applied.
CREATE VIEW run_sources AS
SELECT
    r.digest AS run,
    r.model,
    r.seed,
    v.place - 1 AS position,
    v.value ->> 'mask' AS mask,
    v.value #>> '{source,kind}' AS kind,
    v.value #>> '{source,run}' AS source_run,
    v.value #>> '{source,tag}' AS source_tag,
    v.value #>> '{source,from}' AS from_tag,
    v.value #>> '{source,to}' AS to_tag,
    (v.value #>> '{source,alpha}')::double precision AS alpha,
    v.value #>> '{source,artifact}' AS artifact,
    (v.value #>> '{source,seed}')::bigint AS source_seed
FROM runs AS r
CROSS JOIN LATERAL json_array_elements(r.spec::json #> '{origin,trained,init,layers}') WITH ORDINALITY AS v (value, place);
