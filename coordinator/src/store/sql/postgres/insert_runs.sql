-- Runs that are not there yet: $1 JSON array of {position, digest, spec, model, seed}, $2 now. Index: UNIQUE (digest).
INSERT INTO runs (digest, spec, model, seed, created_at)
SELECT v.digest, v.spec, v.model, v.seed, $2
FROM json_to_recordset($1::json) AS v (position bigint, digest text, spec text, model text, seed bigint)
WHERE NOT EXISTS (SELECT 1 FROM runs AS r WHERE r.digest = v.digest)
ORDER BY v.position
ON CONFLICT (digest) DO NOTHING;
