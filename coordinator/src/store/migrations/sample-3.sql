-- A store of schema 3, with rows in every table.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE nodes (
        name TEXT PRIMARY KEY,
        facts_json TEXT
    ) STRICT, WITHOUT ROWID;
INSERT INTO nodes VALUES('cp-1','{"addresses":["10.0.0.11"]}');
INSERT INTO nodes VALUES('worker-1',NULL);
CREATE TABLE certificates (
        key BLOB PRIMARY KEY CHECK (length(key) = 32),
        node TEXT NOT NULL REFERENCES nodes (name),
        der BLOB NOT NULL,
        issued_at INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('current', 'past'))
    ) STRICT, WITHOUT ROWID;
INSERT INTO certificates VALUES(X'0101010101010101010101010101010101010101010101010101010101010101','cp-1',X'3082',1700000060,1707000000,'past');
INSERT INTO certificates VALUES(X'0202020202020202020202020202020202020202020202020202020202020202','cp-1',X'3083',1703000000,1710000000,'current');
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
INSERT INTO tokens VALUES(X'07070707070707070707','cp-1',X'0909090909090909090909090909090909090909090909090909090909090909','control-plane','auto',1700000000,1700003600,'signed',X'0101010101010101010101010101010101010101010101010101010101010101',1700000060,'10.0.0.11','{}',0);
INSERT INTO tokens VALUES(X'08080808080808080808','worker-1',X'0909090909090909090909090909090909090909090909090909090909090909','worker','code',1700000000,1700003600,'issued',NULL,NULL,NULL,NULL,0);
CREATE TABLE operators (
        key BLOB PRIMARY KEY CHECK (length(key) = 32),
        name TEXT NOT NULL,
        role TEXT NOT NULL,
        issued_at INTEGER NOT NULL,
        not_after INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
INSERT INTO operators VALUES(X'0303030303030303030303030303030303030303030303030303030303030303','alice','viewer',1700000000,1700028800);
CREATE TABLE runs (
        id TEXT PRIMARY KEY, term INTEGER NOT NULL, spec_sha256 TEXT NOT NULL,
        started_ms INTEGER NOT NULL, ended_ms INTEGER, outcome TEXT
    ) STRICT;
INSERT INTO runs VALUES('run-1',1,'0000000000000000000000000000000000000000000000000000000000000000',1700000100000,1700000200000,'{"kind":"holds"}');
CREATE TABLE events (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, seq INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (run, seq)
    ) STRICT, WITHOUT ROWID;
INSERT INTO events VALUES('run-1',1,100,'{"kind":"interrupted"}');
INSERT INTO events VALUES('run-1',2,200,'{"kind":"interrupted"}');
CREATE TABLE audit_heads (
        node TEXT NOT NULL, seq INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (node, seq)
    ) STRICT, WITHOUT ROWID;
INSERT INTO audit_heads VALUES('cp-1',7,'38a9c1e721584da284b90ceea4ed7eb8db15ac4ea86c2c75ec925d5f8799fcf0');
COMMIT;
PRAGMA user_version=3;
