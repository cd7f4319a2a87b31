-- Checkpoints of runs that were trained elsewhere: ?1 JSON array of {run, tag, artifact}, ?2 now.
-- Indexes: UNIQUE (digest) of runs, import_checkpoints_by_artifact.
INSERT INTO checkpoints (run, tag, artifact, bytes, stored_at)
SELECT
    r.id,
    v.value ->> 'tag',
    v.value ->> 'artifact',
    (SELECT max(c.bytes) FROM import_checkpoints AS c WHERE c.artifact = v.value ->> 'artifact'),
    ?2
FROM json_each(?1) AS v
INNER JOIN runs AS r ON r.digest = v.value ->> 'run'
WHERE TRUE
ON CONFLICT (run, tag) DO NOTHING;
