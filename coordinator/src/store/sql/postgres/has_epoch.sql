-- Whether the run of job $1 has epoch $2 on split $3 with loss $4. Index: primary keys of jobs and curves.
SELECT EXISTS (
    SELECT 1
    FROM jobs AS j
    INNER JOIN curves AS c ON c.run = j.run
    WHERE j.id = $1 AND c.epoch = $2 AND c.split = $3 AND c.loss = $4
);
