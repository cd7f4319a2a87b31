-- Checkpoints of other runs that jobs need: $1 JSON array of {run, line, need, tag}, where line is NULL for a training.
-- Indexes: UNIQUE (digest) of runs and lines, jobs_train, jobs_line.
INSERT INTO job_needs (job, run, tag)
SELECT
    CASE
        WHEN v.line IS NULL
            THEN (SELECT j.id FROM jobs AS j WHERE j.run = r.id AND j.kind = 'train')
        ELSE (
            SELECT j.id
            FROM lines AS l
            INNER JOIN jobs AS j ON j.run = r.id AND j.line = l.id AND j.kind = 'line'
            WHERE l.digest = v.line
        )
    END,
    n.id,
    v.tag
FROM json_to_recordset($1::json) AS v (line text, tag text, run text, need text)
INNER JOIN runs AS r ON r.digest = v.run
INNER JOIN runs AS n ON n.digest = v.need
ON CONFLICT (job, run, tag) DO NOTHING;
