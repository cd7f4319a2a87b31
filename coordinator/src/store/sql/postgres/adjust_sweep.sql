-- Sweep $1 gets priority $2, share $3 and limit $4 (0 for no limit), each unless NULL. Index: primary key.
UPDATE sweeps
SET
    priority = coalesce($2::bigint, priority),
    share = coalesce($3::double precision, share),
    max_workers = CASE WHEN $4::bigint IS NULL THEN max_workers ELSE nullif($4::bigint, 0) END
WHERE id = $1;
