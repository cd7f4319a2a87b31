-- What is asked often takes no longer where more is stored.

-- A claim asks what failed lately on its machine, whoever worked there: a few rows, however many workers ever were.
CREATE INDEX job_errors_lately ON job_errors (at, worker) WHERE class = 'machine';

-- As before, with the same columns. Workers are looked at one by one (LATERAL): a plan made while few are at work would compare
-- each of them with each leased job.
CREATE OR REPLACE VIEW sweep_progress AS
SELECT
    s.sweep_id,
    s.name,
    CASE
        WHEN s.cancelled_at IS NOT NULL THEN 'cancelled'
        WHEN coalesce(sum(t.queued + t.leased), 0) > 0 AND s.paused_at IS NOT NULL THEN 'paused'
        WHEN coalesce(sum(t.queued + t.leased), 0) > 0 THEN 'running'
        WHEN coalesce(sum(t.failed), 0) > 0 THEN 'failed'
        WHEN coalesce(sum(t.cancelled), 0) > 0 THEN 'cancelled'
        ELSE 'done'
    END AS state,
    s.submitted_at,
    s.runs,
    coalesce(sum(t.jobs), 0)::bigint AS jobs,
    coalesce(sum(t.queued), 0)::bigint AS queued,
    coalesce(sum(t.leased), 0)::bigint AS leased,
    coalesce(sum(t.done), 0)::bigint AS done,
    coalesce(sum(t.failed), 0)::bigint AS failed,
    coalesce(sum(t.cancelled), 0)::bigint AS cancelled,
    coalesce(sum(t.points), 0)::bigint AS points,
    coalesce(sum(t.points_expected), 0)::bigint AS points_expected,
    coalesce(sum(t.jobs) FILTER (WHERE t.kind = 'train'), 0)::bigint AS train_jobs,
    coalesce(sum(t.done) FILTER (WHERE t.kind = 'train'), 0)::bigint AS train_done,
    CASE
        WHEN s.cancelled_at IS NOT NULL THEN s.cancelled_at
        WHEN coalesce(sum(t.queued + t.leased), 0) = 0
        -- A sweep whose jobs were all done before it came is finished when it is submitted.
        THEN greatest(s.submitted_at, max(t.last_finished_at))
    END AS finished_at,
    s.priority,
    s.share,
    s.max_workers,
    (
        SELECT count(*)
        FROM workers AS w
        CROSS JOIN LATERAL (SELECT j.id FROM jobs AS j WHERE j.worker = w.id AND j.state = 'leased' LIMIT 1) AS held
        WHERE w.sweep = s.id
    ) AS workers
FROM sweeps AS s
LEFT JOIN sweep_totals AS t ON t.sweep = s.id
GROUP BY s.id;
