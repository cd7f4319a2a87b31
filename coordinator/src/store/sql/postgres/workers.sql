-- All workers with the jobs that they hold: live, draining, gone; then by name. Index: jobs_leased.
SELECT
    w.id,
    w.name,
    w.state,
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
    w.done
FROM workers AS w
ORDER BY
    CASE w.state WHEN 'live' THEN 0 WHEN 'draining' THEN 1 ELSE 2 END,
    w.name,
    w.id;
