-- Jobs of the same sweep that are leased before job $1: its lines come before its trainings, the older before the newer.
-- Index: jobs_queue.
SELECT count(*)
FROM jobs AS me
INNER JOIN jobs AS j ON j.sweep = me.sweep
WHERE
    me.id = $1
    AND j.state = 'queued'
    AND j.ready
    AND ((j.kind = me.kind AND j.id < me.id) OR (me.kind = 'train' AND j.kind = 'line'));
