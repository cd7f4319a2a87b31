-- Like claim_oldest_training, but takes the training that costs most. Index: jobs_longest.
UPDATE jobs
SET
    state = 'leased', attempt = attempt + 1, worker = ?1, started_at = ?2, expires_at = ?3, fraction = 0, progress = ''
WHERE
    id = (
        SELECT j.id
        FROM jobs AS j
        WHERE
            j.sweep = ?4
            AND j.kind = 'train'
            AND j.state = 'queued'
            AND j.ready = 1
            AND j.due_at <= ?2
            AND j.cost <= ?5
            AND NOT (j.failures > 0 AND j.worker IN (SELECT v.value FROM json_each(?6) AS v))
            AND (
                -- Those who could go on with it may have other things to do, or may not serve this sweep.
                j.due_at <= strftime('%Y-%m-%dT%H:%M:%fZ', ?2, '-5 minutes')
                OR NOT EXISTS (SELECT 1 FROM _begun_elsewhere AS b WHERE b.run = j.run AND b.asks = ?1)
            )
        ORDER BY j.cost DESC, j.id
        LIMIT 1
    )
RETURNING id AS job, attempt, run, line, points;
