-- Workers in ?1 (JSON array of ids) were heard at ?2, count as gone after ?3, and are live, unless they are draining.
-- Index: primary key.
UPDATE workers
SET seen_at = ?2, expires_at = ?3, state = CASE state WHEN 'draining' THEN 'draining' ELSE 'live' END
WHERE id IN (SELECT v.value FROM json_each(?1) AS v)
RETURNING id;
