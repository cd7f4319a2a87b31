-- Worker $1 has done $2 more jobs, at $3. Index: primary key.
UPDATE workers
SET done = done + $2, succeeded_at = $3
WHERE id = $1;
