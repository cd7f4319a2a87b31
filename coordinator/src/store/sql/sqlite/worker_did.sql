-- Worker ?1 has done one more job. Index: primary key.
UPDATE workers
SET done = done + 1
WHERE id = ?1;
