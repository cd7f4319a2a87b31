-- Whether the run of job $1 has snapshot $2. Indexes: primary keys.
SELECT EXISTS (
    SELECT 1 FROM jobs AS j INNER JOIN snapshots AS s ON s.run = j.run WHERE j.id = $1 AND s.artifact = $2
);
