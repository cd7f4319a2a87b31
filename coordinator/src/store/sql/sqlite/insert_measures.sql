-- Numbers of whole lines, where the attempt holds its job: ?1 JSON array of {job, attempt, split (empty for none), name,
-- value}, ?2 worker. One that is there stays as it is. Index: primary keys of jobs and measures.
INSERT INTO measures (job, split, name, value, worker)
SELECT j.id, v.value ->> 'split', v.value ->> 'name', v.value ->> 'value', ?2
FROM json_each(?1) AS v
CROSS JOIN jobs AS j ON j.id = v.value ->> 'job'
WHERE j.attempt = v.value ->> 'attempt' AND j.state = 'leased'
ON CONFLICT (job, split, name) DO NOTHING;
