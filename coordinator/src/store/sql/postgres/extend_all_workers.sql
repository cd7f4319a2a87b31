-- No worker that was there counts as gone before $1, unless some worker was heard after $2: then a coordinator was there to
-- hear them. Workers are few.
UPDATE workers
SET expires_at = greatest(expires_at, $1)
WHERE state <> 'gone' AND NOT EXISTS (SELECT 1 FROM workers AS w WHERE w.state <> 'gone' AND w.seen_at > $2);
