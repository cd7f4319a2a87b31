-- Every token, oldest first. There are few.
SELECT id, name, scopes, created_at, created_by, expires_at, revoked_at, used_at
FROM tokens
ORDER BY id;
