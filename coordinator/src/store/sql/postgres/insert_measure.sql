-- A number of a whole line, if attempt $2 holds job $1: $3 split (empty for none), $4 name, $5 value, $6 worker.
-- One that is there stays as it is. Index: primary keys of jobs and measures.
INSERT INTO measures (job, split, name, value, worker)
SELECT j.id, $3, $4, $5, $6
FROM jobs AS j
WHERE j.id = $1 AND j.attempt = $2 AND j.state = 'leased'
ON CONFLICT (job, split, name) DO NOTHING;
