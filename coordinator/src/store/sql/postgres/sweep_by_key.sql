-- The sweep submitted under key $1. Index: sweeps_by_key.
SELECT id, file_digest
FROM sweeps
WHERE md5(idempotency_key) = md5($1) AND idempotency_key = $1;
