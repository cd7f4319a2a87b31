-- Whether the run of job $1 has checkpoint $2 as artifact $3. Index: primary keys of jobs and checkpoints.
SELECT EXISTS (
    SELECT 1
    FROM jobs AS j
    INNER JOIN checkpoints AS c ON c.run = j.run
    WHERE j.id = $1 AND c.tag = $2 AND c.artifact = $3
);
