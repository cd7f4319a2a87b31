-- A checkpoint, if attempt ?2 holds training job ?1: ?3 tag, ?4 artifact, ?5 bytes, ?6 now. A later attempt replaces
-- what an earlier one wrote. Index: primary keys of jobs and checkpoints.
INSERT INTO checkpoints (run, tag, artifact, bytes, stored_at)
SELECT j.run, ?3, ?4, ?5, ?6
FROM jobs AS j
WHERE j.id = ?1 AND j.attempt = ?2 AND j.state = 'leased'
ON CONFLICT (run, tag) DO UPDATE
SET
    artifact = excluded.artifact,
    bytes = excluded.bytes,
    stored_at = excluded.stored_at;
