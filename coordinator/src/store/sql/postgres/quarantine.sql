-- Worker $1 is given no work until $2, if jobs of at least $3 runs failed on it, for reasons that lie in the machine, since
-- its last success. Indexes: primary keys, job_errors_of_worker.
UPDATE workers
SET quarantined_until = $2
WHERE
    id = $1
    AND quarantined_until IS NULL
    AND (
        SELECT count(DISTINCT j.run)
        FROM job_errors AS e
        INNER JOIN jobs AS j ON j.id = e.job
        WHERE e.worker = $1 AND e.class = 'machine' AND e.at > coalesce(workers.succeeded_at, '')
    ) >= $3;
