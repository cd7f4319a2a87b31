-- Runs of sweep $1: $2 JSON array of {position, digest, settings}. Index: UNIQUE (digest) of runs.
INSERT INTO sweep_runs (sweep, position, run, settings)
SELECT $1, v.position, r.id, v.settings
FROM json_to_recordset($2::json) AS v (position bigint, settings text, digest text)
INNER JOIN runs AS r ON r.digest = v.digest;
