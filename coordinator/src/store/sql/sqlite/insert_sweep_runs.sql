-- Runs of sweep ?1: ?2 JSON array of {position, digest, settings}. Index: UNIQUE (digest) of runs.
INSERT INTO sweep_runs (sweep, position, run, settings)
SELECT ?1, v.value ->> 'position', r.id, v.value ->> 'settings'
FROM json_each(?2) AS v
INNER JOIN runs AS r ON r.digest = v.value ->> 'digest';
