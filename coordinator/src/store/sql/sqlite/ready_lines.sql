-- Lines of the run of training job ?1 are ready when their three checkpoints are stored.
-- Indexes: jobs_line, primary key of checkpoints.
UPDATE jobs
SET ready = 1
FROM jobs AS t
WHERE
    t.id = ?1
    AND jobs.run = t.run
    AND jobs.kind = 'line'
    AND jobs.ready = 0
    AND 3 = (
        SELECT
            EXISTS (SELECT 1 FROM checkpoints AS c WHERE c.run = jobs.run AND c.tag = l.from_tag)
            + EXISTS (SELECT 1 FROM checkpoints AS c WHERE c.run = jobs.run AND c.tag = l.to_tag)
            + EXISTS (SELECT 1 FROM checkpoints AS c WHERE c.run = jobs.run AND c.tag = l.hold)
        FROM lines AS l
        WHERE l.id = jobs.line
    );
