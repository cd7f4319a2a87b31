-- Sweep $1 (`s-7`) with its progress. Indexes: sweeps_by_sweep_id, primary keys of sweep_jobs and jobs.
SELECT
    name,
    state,
    submitted_at,
    finished_at,
    runs,
    jobs,
    queued,
    leased,
    done,
    failed,
    cancelled,
    points,
    points_expected,
    train_jobs,
    train_done,
    priority,
    share,
    max_workers,
    workers
FROM sweep_progress
WHERE sweep_id = $1;
