-- Attempt $2 of job $1 lost its lease: it is queued again at $3. Index: primary key.
UPDATE jobs
SET state = 'queued', lost = lost + 1, due_at = $3, expires_at = NULL, fraction = 0, progress = ''
WHERE id = $1 AND attempt = $2 AND state = 'leased';
