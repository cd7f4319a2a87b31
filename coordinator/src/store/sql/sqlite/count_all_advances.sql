-- Counts the same among all jobs of kind ?1: ?2 points more, ?3 jobs done. Index: primary key.
UPDATE job_totals
SET points = points + ?2, leased = leased - ?3, done = done + ?3
WHERE kind = ?1 AND shard = 0;
