-- Canonical forms of the runs in ?1 (JSON array of ids). Index: primary key.
SELECT r.id, r.spec
FROM json_each(?1) AS v
CROSS JOIN runs AS r ON r.id = v.value;
