-- Workers in $1 (JSON array of ids) were heard at $2, count as gone after $3, and are live, unless they are draining. They are
-- locked by id. Index: primary key.
WITH heard AS MATERIALIZED (
    SELECT w.id
    FROM workers AS w
    WHERE w.id = ANY (ARRAY(SELECT v.value::bigint FROM json_array_elements_text($1::json) AS v (value)))
    ORDER BY w.id
    FOR NO KEY UPDATE
)

UPDATE workers
SET seen_at = $2, expires_at = $3, state = CASE state WHEN 'draining' THEN 'draining' ELSE 'live' END
FROM heard
WHERE workers.id = heard.id
RETURNING workers.id;
