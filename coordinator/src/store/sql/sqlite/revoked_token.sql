-- The newest token called ?1, or of id ?2. There are few.
SELECT id, name, scopes, created_at, created_by, expires_at, revoked_at, used_at
FROM tokens
WHERE name = ?1 OR id = ?2
ORDER BY id DESC
LIMIT 1;
