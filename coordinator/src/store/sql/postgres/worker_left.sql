-- Worker $1 is gone at $2. Index: primary key.
UPDATE workers
SET state = 'gone', seen_at = $2, sweep = NULL
WHERE id = $1;
