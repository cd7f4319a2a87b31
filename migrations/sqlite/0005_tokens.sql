-- Tokens by which callers are known, and whose each worker is.

-- A secret is kept as its BLAKE3: 256 random bits need no slower hash, and the secret cannot be had back from it.
CREATE TABLE tokens (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE CHECK (length(hash) = 64), -- every call finds its token by it
    scopes     TEXT NOT NULL, -- `read,work`
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at TEXT, -- NULL: only when it is revoked
    revoked_at TEXT,
    used_at    TEXT -- to about ten minutes
) STRICT;

-- A name may be used again once its token is revoked.
CREATE UNIQUE INDEX tokens_by_name ON tokens (name) WHERE revoked_at IS NULL;

-- The token (`token:4`) or certificate (`certificate:DIGITS`) that registered a worker and alone speaks for it.
-- No row: it registered while nobody was asked.
CREATE TABLE worker_owners (
    worker INTEGER PRIMARY KEY REFERENCES workers (id),
    owner  TEXT NOT NULL
) STRICT;
