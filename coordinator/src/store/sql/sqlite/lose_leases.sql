-- Attempts in ?1 (JSON array of {job, attempt, due}) lost their leases: each job is queued again, at due. Index: primary key.
UPDATE jobs
SET
    state = 'queued', lost = lost + 1, due_at = v.value ->> 'due', expires_at = NULL, fraction = 0, progress = ''
FROM json_each(?1) AS v
WHERE jobs.id = v.value ->> 'job' AND jobs.attempt = v.value ->> 'attempt' AND jobs.state = 'leased';
