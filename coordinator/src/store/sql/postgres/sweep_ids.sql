-- Sweeps before $1, newest first, at most $2. Index: primary key.
SELECT id
FROM sweeps
WHERE id < $1
ORDER BY id DESC
LIMIT $2;
