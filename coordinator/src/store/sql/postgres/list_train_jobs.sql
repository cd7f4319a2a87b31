-- Sweep $3 needs these training jobs, which are stored where they are not there yet: $1 JSON array of {run, waits, cost,
-- position}, $2 now. How many are new. Those that start from other runs wait until ready_jobs_of_sweep says otherwise.
-- Indexes: UNIQUE (digest) of runs, jobs_train.
WITH wanted AS MATERIALIZED (
    SELECT
        f.known,
        f.run,
        f.waits,
        f.cost,
        f.position,
        coalesce(f.known, nextval('jobs_id_seq')) AS job
    FROM (
        SELECT
            known.id AS known,
            r.id AS run,
            v.waits,
            v.cost,
            v.position
        FROM json_to_recordset($1::json) AS v (run text, waits boolean, cost double precision, position bigint)
        INNER JOIN runs AS r ON r.digest = v.run
        LEFT JOIN jobs AS known ON known.run = r.id AND known.kind = 'train'
        ORDER BY v.position
    ) AS f
),

new AS (
    INSERT INTO jobs (id, kind, run, state, ready, points_expected, due_at, queued_at, sweep, cost)
    SELECT
        w.job,
        'train',
        w.run,
        'queued',
        NOT w.waits,
        0,
        (SELECT $2::moment),
        (SELECT $2::moment),
        $3,
        w.cost
    FROM wanted AS w
    WHERE w.known IS NULL
    RETURNING id
),

listed AS (
    INSERT INTO sweep_jobs (sweep, job, position)
    SELECT $3, w.job, w.position FROM wanted AS w
)

SELECT count(*) FROM new;
