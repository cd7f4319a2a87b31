-- Worker ?1 leases the oldest lines of run ?2 that are due at ?3, until ?4, at most ?5. Index: jobs_queue_of_run.
UPDATE jobs
SET
    state = 'leased', attempt = attempt + 1, worker = ?1, started_at = ?3, expires_at = ?4, fraction = 0, progress = ''
WHERE
    id IN (
        SELECT j.id
        FROM jobs AS j
        WHERE j.run = ?2 AND j.kind = 'line' AND j.state = 'queued' AND j.ready = 1 AND j.due_at <= ?3
        ORDER BY j.id
        LIMIT ?5
    )
RETURNING id, attempt, run;
