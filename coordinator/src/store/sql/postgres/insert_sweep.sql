-- A sweep: $1 name, $2 file, $3 its digest, $4 idempotency key, $5 now, $6 priority, $7 share, $8 limit, $9 requirements
-- (JSON).
INSERT INTO sweeps (
    name, file, file_digest, idempotency_key, submitted_at, priority, share, max_workers, requires
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING id;
