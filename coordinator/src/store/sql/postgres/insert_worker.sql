-- A worker: $1 name, $2 host, $3 pid, $4 device, $5 its name, $6 memory, $7 libtorch, $8 CPU capability, $9 threads,
-- $10 version, $11 now, $12 when it counts as gone.
INSERT INTO workers (
    name, state, host, pid, device, device_name, memory_bytes, libtorch, cpu_capability, threads, version,
    registered_at, seen_at, expires_at
)
VALUES ($1, 'live', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12)
RETURNING id;
