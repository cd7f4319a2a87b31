-- Sweep $1 is held back from $2 on. Index: primary key.
UPDATE sweeps
SET paused_at = coalesce(paused_at, $2)
WHERE id = $1;
