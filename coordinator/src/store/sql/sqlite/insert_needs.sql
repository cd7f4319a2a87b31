-- Checkpoints of other runs that jobs need: ?1 JSON array of {run, line, need, tag}, where line is NULL for a training.
-- Indexes: UNIQUE (digest) of runs and lines, jobs_train, jobs_line.
INSERT INTO job_needs (job, run, tag)
SELECT
    CASE
        WHEN v.value ->> 'line' IS NULL
            THEN (SELECT j.id FROM jobs AS j WHERE j.run = r.id AND j.kind = 'train')
        ELSE (
            SELECT j.id
            FROM lines AS l
            INNER JOIN jobs AS j ON j.run = r.id AND j.line = l.id AND j.kind = 'line'
            WHERE l.digest = v.value ->> 'line'
        )
    END,
    n.id,
    v.value ->> 'tag'
FROM json_each(?1) AS v
INNER JOIN runs AS r ON r.digest = v.value ->> 'run'
INNER JOIN runs AS n ON n.digest = v.value ->> 'need'
WHERE TRUE
ON CONFLICT (job, run, tag) DO NOTHING;
