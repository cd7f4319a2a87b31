-- Workers, present and past, on the host and device of $1 on which jobs failed lately (after $2); each as often as it did.
-- They are looked up one by one (LATERAL): the planner would rather begin with all workers that ever were.
-- Indexes: job_errors_lately, primary key.
WITH lately AS MATERIALIZED (
    SELECT e.worker
    FROM job_errors AS e
    WHERE e.class = 'machine' AND e.at > $2
)

SELECT there.id
FROM lately
CROSS JOIN LATERAL (
    SELECT w.id
    FROM workers AS w
    INNER JOIN workers AS me ON me.host = w.host AND me.device = w.device
    WHERE w.id = lately.worker AND me.id = $1
    LIMIT 1
) AS there;
