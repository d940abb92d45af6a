-- Sharing current. Profiles of the CSMS are inputs of the balancer; none of them is in a station.
CREATE TABLE profile (
    station TEXT NOT NULL,
    key TEXT NOT NULL,
    content BLOB NOT NULL,                  -- JSON
    PRIMARY KEY (station, key)
) WITHOUT ROWID;

CREATE TABLE priority (
    station TEXT NOT NULL,
    "transaction" INTEGER NOT NULL,
    PRIMARY KEY (station, "transaction")
) WITHOUT ROWID;

CREATE TABLE connector (
    station TEXT NOT NULL,
    evse INTEGER NOT NULL,
    ceiling_a REAL,                         -- the most an unproven one may hold
    fallback_a REAL,                        -- installed in it
    checked TEXT,                           -- the hardware and firmware that was seen to hold it
    PRIMARY KEY (station, evse)
) WITHOUT ROWID;

CREATE TABLE background (
    circuit TEXT PRIMARY KEY,
    rises BLOB NOT NULL,                    -- JSON
    steps BLOB NOT NULL                     -- JSON
) WITHOUT ROWID;

CREATE TABLE cap (
    source TEXT PRIMARY KEY,
    circuit TEXT NOT NULL,
    limit_w REAL,
    limit_a TEXT,                           -- JSON array of L1, L2, L3
    received TEXT NOT NULL,
    until TEXT NOT NULL
) WITHOUT ROWID;
