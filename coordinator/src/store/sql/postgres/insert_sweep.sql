-- A sweep: $1 name, $2 file, $3 its digest, $4 idempotency key, $5 now.
INSERT INTO sweeps (name, file, file_digest, idempotency_key, submitted_at)
VALUES ($1, $2, $3, $4, $5)
RETURNING id;
