-- Sweeps without a job to do are passed by from $1 on, until one of their jobs is queued. Index: sweeps_at_work.
UPDATE sweeps
SET rolled_up_at = $1
WHERE
    cancelled_at IS NULL
    AND rolled_up_at IS NULL
    AND NOT EXISTS (
        SELECT 1
        FROM sweep_totals AS t
        WHERE t.sweep = sweeps.id
        GROUP BY t.sweep
        HAVING sum(t.queued + t.leased) > 0
    )
RETURNING id;
