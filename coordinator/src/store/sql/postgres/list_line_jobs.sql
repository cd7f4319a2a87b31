-- Sweep $3 needs these line jobs, which are stored where they are not there yet: $1 JSON array of {run, line, waits, points,
-- cost, position}, $2 now. How many are new. A line is ready when its run is trained, here or elsewhere; one that needs other
-- runs waits until ready_jobs_of_sweep says otherwise. Jobs are looked for one by one (LATERAL), by all of their key. Indexes:
-- UNIQUE (digest) of runs and lines, jobs_train, jobs_line.
WITH wanted AS MATERIALIZED (
    SELECT
        f.known,
        f.run,
        f.line,
        f.ready,
        f.points,
        f.cost,
        f.position,
        coalesce(f.known, nextval('jobs_id_seq')) AS job
    FROM (
        SELECT
            known.id AS known,
            r.id AS run,
            l.id AS line,
            NOT v.waits AND training.id IS NULL AS ready,
            v.points,
            v.cost,
            v.position
        FROM json_to_recordset($1::json) AS v (
            run text, line text, waits boolean, points bigint, cost double precision, position bigint
        )
        INNER JOIN runs AS r ON r.digest = v.run
        INNER JOIN lines AS l ON l.digest = v.line
        LEFT JOIN LATERAL (
            SELECT t.id FROM jobs AS t WHERE t.run = r.id AND t.kind = 'train' AND t.state <> 'done' LIMIT 1
        ) AS training ON TRUE
        LEFT JOIN LATERAL (
            SELECT j.id FROM jobs AS j WHERE j.run = r.id AND j.line = l.id AND j.kind = 'line' LIMIT 1
        ) AS known ON TRUE
        ORDER BY v.position
    ) AS f
),

new AS (
    -- A moment's form is checked whenever a text becomes one: here once, not for each row.
    INSERT INTO jobs (id, kind, run, line, state, ready, points_expected, due_at, queued_at, sweep, cost)
    SELECT
        w.job,
        'line',
        w.run,
        w.line,
        'queued',
        w.ready,
        w.points,
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
