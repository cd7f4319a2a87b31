-- Sweep $1 is live again. Index: primary key.
UPDATE sweeps
SET cancelled_at = NULL
WHERE id = $1;
