-- Workers, present and past, on the host and device of ?1 on which jobs failed lately (after ?2).
-- Indexes: workers_there, job_errors_of_worker.
SELECT DISTINCT e.worker
FROM workers AS me
CROSS JOIN workers AS w ON w.host = me.host AND w.device = me.device
CROSS JOIN job_errors AS e ON e.worker = w.id AND e.class = 'machine' AND e.at > ?2
WHERE me.id = ?1;
