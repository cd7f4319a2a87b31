-- Workers in $1 (JSON array of {worker, now, until}) are live: each was heard at now, and counts as gone after until. One that
-- another transaction writes to is passed by. Index: primary key.
WITH heard AS MATERIALIZED (
    SELECT w.id, v.now, v.until
    FROM json_to_recordset($1::json) AS v (worker bigint, now text, until text)
    INNER JOIN workers AS w ON w.id = v.worker
    ORDER BY w.id
    FOR NO KEY UPDATE OF w SKIP LOCKED
)

UPDATE workers
SET seen_at = heard.now, expires_at = heard.until, state = 'live'
FROM heard
WHERE workers.id = heard.id
RETURNING workers.id;
