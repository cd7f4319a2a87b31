-- Runs that are not there yet: ?1 JSON array of {digest, spec, model, seed}, ?2 now. Index: UNIQUE (digest).
INSERT INTO runs (digest, spec, model, seed, created_at)
SELECT v.value ->> 'digest', v.value ->> 'spec', v.value ->> 'model', v.value ->> 'seed', ?2
FROM json_each(?1) AS v
WHERE TRUE
ON CONFLICT (digest) DO NOTHING;
