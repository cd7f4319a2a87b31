-- Specs of the runs in ?1 (JSON array of digests) that are stored. Index: UNIQUE (digest).
SELECT r.digest, r.spec
FROM json_each(?1) AS v
CROSS JOIN runs AS r ON r.digest = v.value;
