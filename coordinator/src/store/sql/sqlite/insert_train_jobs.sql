-- Training jobs that are not there yet, in the name of sweep ?3: ?1 JSON array of {run, waits, cost, position}, ?2 now.
-- Those that start from other runs wait until ready_jobs_of_sweep says otherwise. Index: jobs_train.
INSERT INTO jobs (kind, run, state, ready, points_expected, due_at, queued_at, sweep, cost)
SELECT 'train', r.id, 'queued', NOT v.value ->> 'waits', 0, ?2, ?2, ?3, v.value ->> 'cost'
FROM json_each(?1) AS v
INNER JOIN runs AS r ON r.digest = v.value ->> 'run'
WHERE TRUE
ON CONFLICT (run) WHERE kind = 'train' DO NOTHING;
