-- Sweeps whose books are open, oldest first. Index: sweeps_at_work.
SELECT id
FROM sweeps
WHERE cancelled_at IS NULL AND rolled_up_at IS NULL
ORDER BY id;
