-- Whether any job may be leased at $1. Index: jobs_queue.
SELECT EXISTS (SELECT 1 FROM jobs WHERE state = 'queued' AND ready AND due_at <= $1);
