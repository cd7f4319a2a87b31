-- Sweep $1 goes on. Index: primary key.
UPDATE sweeps
SET paused_at = NULL
WHERE id = $1;
