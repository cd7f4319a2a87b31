-- What workers elsewhere than on the host and device of ?1 bring, that could be given a job now; each kind once.
-- Indexes: primary key, workers_there.
SELECT DISTINCT o.device, o.memory_bytes, o.labels
FROM workers AS me
INNER JOIN workers AS o ON o.host <> me.host OR o.device <> me.device
WHERE me.id = ?1 AND o.state = 'live' AND o.quarantined_until IS NULL;
