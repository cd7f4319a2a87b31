-- Attempts in ?1 (JSON array of {job, attempt, points}) have that many points more, so they are alive.
-- Index: primary key of jobs.
UPDATE jobs
SET points = points + (v.value ->> 'points'), lost = 0
FROM json_each(?1) AS v
WHERE jobs.id = v.value ->> 'job' AND jobs.attempt = v.value ->> 'attempt' AND jobs.state = 'leased';
