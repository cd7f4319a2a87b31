-- Run $1. Index: primary key.
SELECT digest, spec
FROM runs
WHERE id = $1;
