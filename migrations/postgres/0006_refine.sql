-- Lines whose grids are refined: alphas that are chosen by what is measured follow those of the grid.

ALTER TABLE lines ADD COLUMN grid bigint NOT NULL DEFAULT 0; -- alphas of the grid; places of points from there on refine it
ALTER TABLE lines ADD COLUMN budget bigint NOT NULL DEFAULT 0; -- further alphas at most; 0: the grid is all
UPDATE lines SET grid = json_array_length(spec::json -> 'alphas');

-- Lines that differ in their grids alone, refined or not: a new one takes over the points of grids that an older one has.
DROP INDEX lines_of_family;
ALTER TABLE lines DROP COLUMN family;
ALTER TABLE lines
ADD COLUMN family text GENERATED ALWAYS AS (md5((spec::jsonb - 'alphas' - 'refine')::text)) STORED;
CREATE INDEX lines_of_family ON lines (family);

-- How many points a refined line has is known when it is done. Counted as all else, in the shard of the server process.
CREATE FUNCTION count_expected_points() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sweep_totals AS t (
        sweep, kind, model, shard, jobs, queued, leased, done, failed, cancelled, points, points_expected,
        cost_left, cost_done, seconds
    )
    SELECT
        sj.sweep,
        new.kind,
        r.model,
        1 + pg_backend_pid() % 64,
        0, 0, 0, 0, 0, 0, 0,
        new.points_expected - old.points_expected,
        0, 0, 0
    FROM sweep_jobs AS sj
    INNER JOIN runs AS r ON r.id = new.run
    WHERE
        sj.job = new.id
        AND EXISTS (
            SELECT 1 FROM sweep_totals AS f
            WHERE f.sweep = sj.sweep AND f.kind = new.kind AND f.model = r.model AND f.shard = 0
        )
    ORDER BY sj.sweep
    ON CONFLICT (sweep, kind, model, shard) DO UPDATE
    SET points_expected = t.points_expected + excluded.points_expected;
    RETURN NULL;
END;
$$;
CREATE TRIGGER count_expected_points AFTER UPDATE OF points_expected ON jobs
FOR EACH ROW WHEN (new.points_expected <> old.points_expected) EXECUTE FUNCTION count_expected_points();

-- As before, with a column more at the end.
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
    l.normalize,
    (p.place >= l.grid)::integer AS refined
FROM sweeps AS s
INNER JOIN sweep_jobs AS sj ON sj.sweep = s.id
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN lines AS l ON l.id = j.line
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN sweep_runs AS sr ON sr.sweep = s.id AND sr.run = j.run
INNER JOIN points AS p ON p.job = j.id
INNER JOIN workers AS w ON w.id = p.worker;
