-- Counts that ?1 lines more were claimed, among all jobs. Index: primary key.
UPDATE job_totals
SET queued = queued - ?1, leased = leased + ?1
WHERE kind = 'line' AND shard = 0;
