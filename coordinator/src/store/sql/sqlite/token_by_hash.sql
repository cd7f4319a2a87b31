-- The token of hash ?1. Index: the unique one of hash.
SELECT id, name, scopes, created_at, created_by, expires_at, revoked_at, used_at
FROM tokens
WHERE hash = ?1;
