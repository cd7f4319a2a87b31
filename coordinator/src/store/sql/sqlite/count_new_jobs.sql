-- Of kind ?1, ?2 jobs are new, and queued. Index: primary key.
INSERT INTO job_totals AS t (kind, shard, queued, leased, done, failed, cancelled, points)
VALUES (?1, 0, ?2, 0, 0, 0, 0, 0)
ON CONFLICT (kind, shard) DO UPDATE
SET queued = t.queued + excluded.queued;
