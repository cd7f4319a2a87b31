-- All workers with the jobs that they hold: live, draining, quarantined, gone; then by name.
-- Indexes: jobs_leased, job_errors_of_worker.
SELECT
    w.id,
    w.name,
    CASE
        WHEN w.state <> 'gone' AND w.quarantined_until IS NOT NULL THEN 'quarantined'
        ELSE w.state
    END AS state,
    w.host,
    w.pid,
    w.device,
    w.device_name,
    w.memory_bytes,
    w.libtorch,
    w.cpu_capability,
    w.threads,
    w.version,
    w.registered_at,
    w.seen_at,
    (SELECT count(*) FROM jobs AS j WHERE j.state = 'leased' AND j.worker = w.id) AS leased,
    w.done,
    w.labels,
    w.quarantined_until,
    (
        SELECT count(DISTINCT j.run)
        FROM job_errors AS e
        INNER JOIN jobs AS j ON j.id = e.job
        WHERE e.worker = w.id AND e.class = 'machine' AND e.at > coalesce(w.succeeded_at, '')
    ) AS failures
FROM workers AS w
ORDER BY
    CASE
        WHEN w.state = 'gone' THEN 3
        WHEN w.quarantined_until IS NOT NULL THEN 2
        WHEN w.state = 'draining' THEN 1
        ELSE 0
    END,
    w.name,
    w.id;
