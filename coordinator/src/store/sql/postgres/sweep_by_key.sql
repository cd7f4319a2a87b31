-- The sweep submitted under key $1. Index: UNIQUE (idempotency_key).
SELECT id, file_digest
FROM sweeps
WHERE idempotency_key = $1;
