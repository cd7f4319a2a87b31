-- A token: ?1 name, ?2 hash, ?3 scopes, ?4 now, ?5 by whom, ?6 until when. No row when the name is taken.
-- Index: tokens_by_name, and the unique one of hash.
INSERT INTO tokens (name, hash, scopes, created_at, created_by, expires_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT DO NOTHING
RETURNING id, name, scopes, created_at, created_by, expires_at, revoked_at, used_at;
