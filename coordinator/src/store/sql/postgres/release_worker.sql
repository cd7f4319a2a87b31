-- Every worker on the host and device of worker $1 is given work again, at $2. Indexes: primary key, workers_quarantined.
UPDATE workers
SET quarantined_until = NULL, succeeded_at = $2
WHERE
    quarantined_until IS NOT NULL
    AND (host, device) = (SELECT w.host, w.device FROM workers AS w WHERE w.id = $1);
