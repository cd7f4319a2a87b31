-- Worker $1 has done $2 more jobs. Index: primary key.
UPDATE workers
SET done = done + $2
WHERE id = $1;
