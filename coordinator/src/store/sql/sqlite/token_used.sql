-- Token ?1 was used at ?2. Index: primary key.
UPDATE tokens
SET used_at = ?2
WHERE id = ?1 AND (used_at IS NULL OR used_at < ?2);
