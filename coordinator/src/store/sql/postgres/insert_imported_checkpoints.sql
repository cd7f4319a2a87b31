-- Checkpoints of runs that were trained elsewhere: $1 JSON array of {run, tag, artifact}, $2 now.
-- Indexes: UNIQUE (digest) of runs, import_checkpoints_by_artifact.
INSERT INTO checkpoints (run, tag, artifact, bytes, stored_at)
SELECT
    r.id,
    v.tag,
    v.artifact,
    (SELECT max(c.bytes) FROM import_checkpoints AS c WHERE c.artifact = v.artifact),
    $2
FROM json_to_recordset($1::json) AS v (tag text, artifact text, run text)
INNER JOIN runs AS r ON r.digest = v.run
ON CONFLICT (run, tag) DO NOTHING;
