-- Workers, present and past, on the host and device of $1, while another live worker is elsewhere: jobs that failed on
-- them lately (after $2) are left to that one. Indexes: workers_there, job_errors_of_worker.
SELECT DISTINCT e.worker
FROM workers AS me
INNER JOIN workers AS w ON w.host = me.host AND w.device = me.device
INNER JOIN job_errors AS e ON e.worker = w.id AND e.class = 'machine' AND e.at > $2
WHERE
    me.id = $1
    AND EXISTS (
        SELECT 1
        FROM workers AS o
        WHERE o.state = 'live' AND o.quarantined_until IS NULL AND (o.host <> me.host OR o.device <> me.device)
    );
