-- Tags of the checkpoints that the run of job $1 has. Index: primary keys of jobs and checkpoints.
SELECT c.tag
FROM jobs AS j
INNER JOIN checkpoints AS c ON c.run = j.run
WHERE j.id = $1;
