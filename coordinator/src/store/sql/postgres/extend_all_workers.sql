-- No worker that was there counts as gone before $1. Workers are few.
UPDATE workers
SET expires_at = greatest(expires_at, $1)
WHERE state <> 'gone';
