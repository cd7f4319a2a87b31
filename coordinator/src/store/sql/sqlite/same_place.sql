-- Workers, present and past, on the host and device of ?1 on which jobs failed lately (after ?2); each as often as it did.
-- Indexes: job_errors_lately, primary key.
SELECT e.worker
FROM job_errors AS e
CROSS JOIN workers AS w ON w.id = e.worker
CROSS JOIN workers AS me ON me.id = ?1 AND me.host = w.host AND me.device = w.device
WHERE e.class = 'machine' AND e.at > ?2;
