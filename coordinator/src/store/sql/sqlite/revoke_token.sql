-- The token called ?1, or else of id ?2, is no longer good from ?3 on. Index: tokens_by_name, primary key.
UPDATE tokens
SET revoked_at = ?3
WHERE revoked_at IS NULL AND (name = ?1 OR id = ?2)
RETURNING id, name, scopes, created_at, created_by, expires_at, revoked_at, used_at;
