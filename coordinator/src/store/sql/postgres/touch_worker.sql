-- Worker $1 was heard at $2, is in state $3 (NULL: live, unless it is draining), and counts as gone after $4.
-- Index: primary key.
UPDATE workers
SET
    seen_at = $2,
    expires_at = $4,
    state = coalesce($3::text, CASE state WHEN 'draining' THEN 'draining' ELSE 'live' END)
WHERE id = $1;
