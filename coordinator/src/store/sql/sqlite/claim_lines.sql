-- Worker ?2 leases the lines in ?1 (JSON array of ids), which are queued, at ?3 until ?4. Counted by count_claims.
-- Index: primary key.
UPDATE jobs
SET
    state = 'leased', attempt = attempt + 1, worker = ?2, started_at = ?3, expires_at = ?4, fraction = 0, progress = ''
WHERE id IN (SELECT v.value FROM json_each(?1) AS v) AND state = 'queued';
