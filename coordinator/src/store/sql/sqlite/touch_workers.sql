-- Workers in ?1 (JSON array of {worker, now, until}) are live: each was heard at now, and counts as gone after until.
-- Index: primary key.
UPDATE workers
SET seen_at = v.value ->> 'now', expires_at = v.value ->> 'until', state = 'live'
FROM json_each(?1) AS v
WHERE workers.id = v.value ->> 'worker'
RETURNING workers.id;
