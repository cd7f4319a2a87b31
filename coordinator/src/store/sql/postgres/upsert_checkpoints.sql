-- Checkpoints, where the attempt holds its training job: $1 JSON array of {job, attempt, tag, artifact, bytes}, each tag
-- once, $2 now. A later attempt replaces what an earlier one wrote. Index: primary keys of jobs and checkpoints.
-- What is leased has an end: `state = 'leased'` would offer the index of all leases, which are many in a large cluster.
INSERT INTO checkpoints (run, tag, artifact, bytes, stored_at)
SELECT j.run, v.tag, v.artifact, v.bytes, $2
FROM json_to_recordset($1::json) AS v (tag text, artifact text, bytes bigint, job bigint, attempt bigint)
INNER JOIN jobs AS j ON j.id = v.job
WHERE j.attempt = v.attempt AND j.expires_at IS NOT NULL
ON CONFLICT (run, tag) DO UPDATE
SET
    artifact = excluded.artifact,
    bytes = excluded.bytes,
    stored_at = excluded.stored_at;
