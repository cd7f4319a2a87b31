-- No lease runs out before ?1, unless some worker was heard after ?2: then a coordinator was there to extend them.
-- Indexes: jobs_leased; workers are few.
UPDATE jobs
SET expires_at = max(expires_at, ?1)
WHERE state = 'leased' AND NOT EXISTS (SELECT 1 FROM workers AS w WHERE w.state <> 'gone' AND w.seen_at > ?2);
