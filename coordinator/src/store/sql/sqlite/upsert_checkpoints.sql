-- Checkpoints, where the attempt holds its training job: ?1 JSON array of {job, attempt, tag, artifact, bytes}, each tag
-- once, ?2 now. A later attempt replaces what an earlier one wrote. Index: primary keys of jobs and checkpoints.
INSERT INTO checkpoints (run, tag, artifact, bytes, stored_at)
SELECT j.run, v.value ->> 'tag', v.value ->> 'artifact', v.value ->> 'bytes', ?2
FROM json_each(?1) AS v
CROSS JOIN jobs AS j ON j.id = v.value ->> 'job'
WHERE j.attempt = v.value ->> 'attempt' AND j.state = 'leased'
ON CONFLICT (run, tag) DO UPDATE
SET
    artifact = excluded.artifact,
    bytes = excluded.bytes,
    stored_at = excluded.stored_at;
