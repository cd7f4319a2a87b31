-- Training jobs that are not there yet, in the name of sweep $3: $1 JSON array of {run, waits, cost, position}, $2 now.
-- Those that start from other runs wait until ready_jobs_of_sweep says otherwise. Indexes: UNIQUE (digest) of runs, jobs_train.
INSERT INTO jobs (kind, run, state, ready, points_expected, due_at, queued_at, sweep, cost)
SELECT 'train', r.id, 'queued', NOT v.waits, 0, $2, $2, $3, v.cost
FROM json_to_recordset($1::json) AS v (run text, waits boolean, cost double precision, position bigint)
INNER JOIN runs AS r ON r.digest = v.run
WHERE NOT EXISTS (SELECT 1 FROM jobs AS j WHERE j.run = r.id AND j.kind = 'train')
ORDER BY v.position
ON CONFLICT (run) WHERE kind = 'train' DO NOTHING;
