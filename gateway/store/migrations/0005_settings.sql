-- Settings in two columns: what the CSMS believes, what the station was last heard to hold.
CREATE TABLE setting (
    station TEXT NOT NULL,
    name TEXT NOT NULL,
    believed TEXT,
    held TEXT,
    PRIMARY KEY (station, name)
) WITHOUT ROWID;

-- Passwords the CSMS set for the links to it; the one before until the CSMS has taken the new one.
CREATE TABLE uplink_secret (
    station TEXT PRIMARY KEY,
    secret BLOB NOT NULL,
    previous BLOB,
    origin TEXT                             -- fingerprint of the configured password it came after
) WITHOUT ROWID;
