-- A worker: $1 name, $2 host, $3 pid, $4 device, $5 its name, $6 memory, $7 libtorch, $8 CPU capability, $9 threads,
-- $10 version, $11 now, $12 when it counts as gone, $13 labels (JSON array). One that starts where another is in
-- quarantine is in it as well. Index: workers_quarantined.
INSERT INTO workers (
    name, state, host, pid, device, device_name, memory_bytes, libtorch, cpu_capability, threads, version,
    registered_at, seen_at, expires_at, labels, quarantined_until
)
VALUES (
    $1, 'live', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text, $11::text, $12, $13,
    (
        SELECT max(w.quarantined_until)
        FROM workers AS w
        WHERE w.quarantined_until > $11::text AND w.host = $2 AND w.device = $4
    )
)
RETURNING id;
