-- Training jobs that are not there yet: ?1 JSON array of {run, position}, ?2 now. Index: jobs_train.
INSERT INTO jobs (kind, run, state, ready, points_expected, due_at, queued_at)
SELECT 'train', r.id, 'queued', 1, 0, ?2, ?2
FROM json_each(?1) AS v
INNER JOIN runs AS r ON r.digest = v.value ->> 'run'
WHERE TRUE
ON CONFLICT (run) WHERE kind = 'train' DO NOTHING;
