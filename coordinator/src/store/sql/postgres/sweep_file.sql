-- The file of sweep $1. Index: primary key.
SELECT file
FROM sweeps
WHERE id = $1;
