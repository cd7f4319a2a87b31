-- Leases in ?1 (JSON array of {job, attempt, fraction, text}) that worker ?3 holds last until ?2.
-- Index: primary key of jobs.
UPDATE jobs
SET expires_at = ?2, fraction = v.value ->> 'fraction', progress = v.value ->> 'text'
FROM json_each(?1) AS v
WHERE
    jobs.id = v.value ->> 'job'
    AND jobs.attempt = v.value ->> 'attempt'
    AND jobs.state = 'leased'
    AND jobs.worker = ?3
RETURNING jobs.id, jobs.attempt;
