-- Trainings that job $1 waits for, at most 20. Indexes: as of _job_sources.
SELECT r.model, r.seed, r.digest, s.state
FROM _job_sources AS s
INNER JOIN jobs AS t ON t.id = s.source
INNER JOIN runs AS r ON r.id = t.run
WHERE s.job = $1 AND s.state <> 'done'
ORDER BY t.id
LIMIT 20;
