-- Worker $1 works for sweep $2. Index: primary key.
UPDATE workers
SET sweep = $2
WHERE id = $1 AND sweep IS DISTINCT FROM $2;
