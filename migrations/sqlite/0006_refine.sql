-- Lines whose grids are refined: alphas that are chosen by what is measured follow those of the grid.

ALTER TABLE lines ADD COLUMN grid INTEGER NOT NULL DEFAULT 0; -- alphas of the grid; places of points from there on refine it
ALTER TABLE lines ADD COLUMN budget INTEGER NOT NULL DEFAULT 0; -- further alphas at most; 0: the grid is all
UPDATE lines SET grid = json_array_length(spec, '$.alphas');

-- Lines that differ in their grids alone, refined or not: a new one takes over the points of grids that an older one has.
DROP INDEX lines_of_family;
ALTER TABLE lines DROP COLUMN family;
ALTER TABLE lines ADD COLUMN family TEXT GENERATED ALWAYS AS (json_remove(spec, '$.alphas', '$.refine')) VIRTUAL;
CREATE INDEX lines_of_family ON lines (family);

-- How many points a refined line has is known when it is done.
CREATE TRIGGER count_expected_points AFTER UPDATE OF points_expected ON jobs
WHEN new.points_expected <> old.points_expected
BEGIN
    UPDATE sweep_totals
    SET points_expected = points_expected + new.points_expected - old.points_expected
    WHERE
        sweep IN (SELECT sj.sweep FROM sweep_jobs AS sj WHERE sj.job = new.id)
        AND kind = new.kind
        AND model = (SELECT r.model FROM runs AS r WHERE r.id = new.run)
        AND shard = 0;
END;

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
    l.align,
    l.normalize,
    p.place >= l.grid AS refined
FROM sweeps AS s
INNER JOIN sweep_jobs AS sj ON sj.sweep = s.id
INNER JOIN jobs AS j ON j.id = sj.job
INNER JOIN lines AS l ON l.id = j.line
INNER JOIN runs AS r ON r.id = j.run
INNER JOIN sweep_runs AS sr ON sr.sweep = s.id AND sr.run = j.run
INNER JOIN points AS p ON p.job = j.id
INNER JOIN workers AS w ON w.id = p.worker;
