-- Worker ?1 has done one more job, at ?2. Index: primary key.
UPDATE workers
SET done = done + 1, succeeded_at = ?2
WHERE id = ?1;
