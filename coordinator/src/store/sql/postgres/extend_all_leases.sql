-- No lease runs out before $1, unless some worker was heard after $2: then a coordinator was there to extend them.
-- Indexes: jobs_leased; workers are few.
WITH held AS MATERIALIZED (
    SELECT j.id
    FROM jobs AS j
    WHERE
        j.state = 'leased'
        AND j.expires_at < $1
        AND NOT EXISTS (SELECT 1 FROM workers AS w WHERE w.state <> 'gone' AND w.seen_at > $2)
    ORDER BY j.id
    FOR NO KEY UPDATE OF j
)

UPDATE jobs
SET expires_at = $1
FROM held
WHERE jobs.id = held.id;
