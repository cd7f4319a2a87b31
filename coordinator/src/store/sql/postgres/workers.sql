-- Workers with the jobs that they hold: those that are there, and of those that are gone the $1 that came last; or, unless it is
-- NULL, $2 alone. Live, draining, quarantined, gone; then by name.
-- Indexes: workers_there, primary key, jobs_leased, job_errors_of_worker.
WITH shown (id) AS (
    SELECT t.id
    FROM workers AS t
    WHERE t.state <> 'gone' AND $2::bigint IS NULL
    UNION ALL
    SELECT past.id
    FROM (SELECT g.id FROM workers AS g WHERE g.state = 'gone' AND $2::bigint IS NULL ORDER BY g.id DESC LIMIT $1) AS past
    UNION ALL
    SELECT o.id
    FROM workers AS o
    WHERE o.id = $2::bigint
)

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
FROM shown
INNER JOIN workers AS w ON w.id = shown.id
ORDER BY
    CASE
        WHEN w.state = 'gone' THEN 3
        WHEN w.quarantined_until IS NOT NULL THEN 2
        WHEN w.state = 'draining' THEN 1
        ELSE 0
    END,
    w.name,
    w.id;
