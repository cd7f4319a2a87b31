-- Whether a lease or a worker has run out at $1. Index: jobs_leased; workers are few.
SELECT
    EXISTS (SELECT 1 FROM jobs WHERE state = 'leased' AND expires_at <= $1)
    OR EXISTS (SELECT 1 FROM workers WHERE state <> 'gone' AND expires_at <= $1);
