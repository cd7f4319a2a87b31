-- Whether a lease, a worker or a quarantine has run out at $1. Indexes: jobs_leased, workers_quarantined; workers are few.
SELECT
    EXISTS (SELECT 1 FROM jobs WHERE state = 'leased' AND expires_at <= $1)
    OR EXISTS (SELECT 1 FROM workers WHERE state <> 'gone' AND expires_at <= $1)
    OR EXISTS (SELECT 1 FROM workers WHERE quarantined_until <= $1);
