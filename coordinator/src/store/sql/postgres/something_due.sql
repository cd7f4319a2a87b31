-- Whether a line or a training job may be leased at $1. Index: jobs_queue.
SELECT
    EXISTS (SELECT 1 FROM jobs WHERE kind = 'line' AND state = 'queued' AND ready AND due_at <= $1)
    OR EXISTS (SELECT 1 FROM jobs WHERE kind = 'train' AND state = 'queued' AND ready AND due_at <= $1);
