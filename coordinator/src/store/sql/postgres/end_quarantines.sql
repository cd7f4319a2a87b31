-- Quarantines that are over at $1 end, and what failed before counts no more. Index: workers_quarantined.
UPDATE workers
SET quarantined_until = NULL, succeeded_at = $1
WHERE quarantined_until <= $1;
