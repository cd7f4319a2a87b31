-- A snapshot, if worker $3 holds training job $1 with attempt $2: $4 artifact, $5 bytes, $6 step, $7 threads, $8 now. It
-- takes the place of an older one. Index: primary keys of jobs and snapshots.
INSERT INTO snapshots (run, artifact, bytes, step, threads, worker, stored_at)
SELECT j.run, $4, $5, $6, $7, $3, $8
FROM jobs AS j
WHERE j.id = $1 AND j.attempt = $2 AND j.worker = $3 AND j.state = 'leased' AND j.kind = 'train'
ON CONFLICT (run) DO UPDATE
SET
    artifact = excluded.artifact,
    bytes = excluded.bytes,
    step = excluded.step,
    threads = excluded.threads,
    worker = excluded.worker,
    stored_at = excluded.stored_at;
