-- Sweep $1 is cancelled, at $2. Index: primary key.
UPDATE sweeps
SET cancelled_at = coalesce(cancelled_at, $2)
WHERE id = $1;
