-- Worker ?1 leases the oldest training job that is due at ?2, until ?3. Index: jobs_queue.
UPDATE jobs
SET
    state = 'leased', attempt = attempt + 1, worker = ?1, started_at = ?2, expires_at = ?3, fraction = 0, progress = ''
WHERE
    id = (
        SELECT j.id
        FROM jobs AS j
        WHERE j.kind = 'train' AND j.state = 'queued' AND j.ready = 1 AND j.due_at <= ?2
        ORDER BY j.id
        LIMIT 1
    )
RETURNING id, attempt, run;
