-- Every table, parents before those that refer to them.
CREATE TABLE nodes (
    name TEXT PRIMARY KEY,
    facts_json TEXT
) STRICT, WITHOUT ROWID;
-- A key is certified once: a second node with it is a mistake or worse.
CREATE TABLE certificates (
    key BLOB PRIMARY KEY CHECK (length(key) = 32),
    node TEXT NOT NULL REFERENCES nodes (name),
    der BLOB NOT NULL,
    issued_at INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('current', 'past'))
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
    id BLOB PRIMARY KEY CHECK (length(id) = 10),
    node TEXT NOT NULL REFERENCES nodes (name),
    verify_key BLOB NOT NULL CHECK (length(verify_key) = 32),
    role TEXT NOT NULL CHECK (role IN ('control-plane', 'worker', 'load-balancer')),
    approval TEXT NOT NULL CHECK (approval IN ('code', 'auto')),
    issued_at INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('issued', 'awaiting', 'claimed', 'signed', 'burned', 'rejected', 'void')),
    key BLOB CHECK (length(key) = 32 OR state NOT IN ('awaiting', 'claimed', 'signed')),
    claimed_at INTEGER,
    claimed_from TEXT,
    facts_json TEXT,
    wrong_codes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE operators (
    key BLOB PRIMARY KEY CHECK (length(key) = 32),
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
    id TEXT PRIMARY KEY, term INTEGER NOT NULL, spec_sha256 TEXT NOT NULL,
    started_ms INTEGER NOT NULL, ended_ms INTEGER, outcome TEXT
) STRICT;
CREATE TABLE events (
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit_heads (
    node TEXT NOT NULL, seq INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (node, seq)
) STRICT, WITHOUT ROWID;
