-- What worker $1 brings. Index: primary key.
SELECT
    state,
    host,
    device,
    memory_bytes,
    labels,
    libtorch,
    cpu_capability,
    quarantined_until
FROM workers
WHERE id = $1;
