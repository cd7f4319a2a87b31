-- A checkpoint of an import: $1 name, $2 tag, $3 artifact, $4 bytes.
INSERT INTO import_checkpoints (import, tag, artifact, bytes)
VALUES ($1, $2, $3, $4);
