-- Jobs that worker ?1 holds are queued again at ?2. Index: jobs_leased.
UPDATE jobs
SET state = 'queued', due_at = ?2, expires_at = NULL, fraction = 0, progress = ''
WHERE state = 'leased' AND worker = ?1;
