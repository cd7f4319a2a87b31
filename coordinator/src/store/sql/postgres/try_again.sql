-- Attempt $2 of job $1 failed with $4, of class $5: it is queued again, due at $3. Index: primary key.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
UPDATE jobs
SET
    state = 'queued', due_at = $3, failures = failures + 1, error = $4, error_class = $5, expires_at = NULL,
    fraction = 0, progress = ''
WHERE id = $1 AND attempt = $2 AND expires_at IS NOT NULL;
