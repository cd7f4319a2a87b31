-- Sweep $1 has so many runs. Index: primary key of sweep_runs.
UPDATE sweeps
SET runs = (SELECT count(*) FROM sweep_runs AS sr WHERE sr.sweep = $1)
WHERE id = $1;
