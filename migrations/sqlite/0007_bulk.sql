-- What changes most jobs, leases of lines and what comes of leases, counts its changes for whole statements (count_claims,
-- count_advances) and not row by row. As before, for all other changes.
DROP TRIGGER count_job_changes;
CREATE TRIGGER count_job_changes AFTER UPDATE OF state, points ON jobs
WHEN
    (new.state <> old.state OR new.points <> old.points)
    AND NOT (old.state = 'leased' AND new.state IN ('leased', 'done'))
    AND NOT (old.state = 'queued' AND new.state = 'leased' AND new.kind = 'line')
BEGIN
    UPDATE sweep_totals
    SET
        queued = queued + (new.state = 'queued') - (old.state = 'queued'),
        leased = leased + (new.state = 'leased') - (old.state = 'leased'),
        done = done + (new.state = 'done') - (old.state = 'done'),
        failed = failed + (new.state = 'failed') - (old.state = 'failed'),
        cancelled = cancelled + (new.state = 'cancelled') - (old.state = 'cancelled'),
        points = points + new.points - old.points,
        cost_left = cost_left
            + (CASE WHEN new.state IN ('queued', 'leased') THEN new.cost ELSE 0 END)
            - (CASE WHEN old.state IN ('queued', 'leased') THEN old.cost ELSE 0 END),
        cost_done = cost_done + (CASE WHEN new.state = 'done' THEN new.cost ELSE 0 END),
        seconds = seconds + (CASE WHEN new.state = 'done' AND new.cost > 0 THEN coalesce(new.seconds, 0) ELSE 0 END),
        last_finished_at = CASE
            WHEN new.finished_at IS NULL THEN last_finished_at
            WHEN last_finished_at IS NULL THEN new.finished_at
            ELSE max(last_finished_at, new.finished_at)
        END
    WHERE
        sweep IN (SELECT sj.sweep FROM sweep_jobs AS sj WHERE sj.job = new.id)
        AND kind = new.kind
        AND model = (SELECT r.model FROM runs AS r WHERE r.id = new.run)
        AND shard = 0;
    UPDATE job_totals
    SET
        queued = queued + (new.state = 'queued') - (old.state = 'queued'),
        leased = leased + (new.state = 'leased') - (old.state = 'leased'),
        done = done + (new.state = 'done') - (old.state = 'done'),
        failed = failed + (new.state = 'failed') - (old.state = 'failed'),
        cancelled = cancelled + (new.state = 'cancelled') - (old.state = 'cancelled'),
        points = points + new.points - old.points
    WHERE kind = new.kind AND shard = 0;
END;
