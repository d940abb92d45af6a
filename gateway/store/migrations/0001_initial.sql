-- Durable half of the site. Times are ISO 8601 UTC text; the payload columns hold the bytes as received.

CREATE TABLE station (
    id TEXT PRIMARY KEY,
    approval TEXT NOT NULL,
    credential TEXT,
    dialect TEXT,
    upstream_dialect TEXT,
    boot BLOB,
    boot_due INTEGER NOT NULL,
    boots INTEGER NOT NULL,
    was_accepted INTEGER NOT NULL,
    interval_s INTEGER NOT NULL
) WITHOUT ROWID;

-- The ledger: one row a charging transaction; never deleted by the gateway itself.
CREATE TABLE "transaction" (
    key INTEGER PRIMARY KEY,
    station TEXT NOT NULL,
    boot INTEGER NOT NULL,
    evse INTEGER,
    start_fingerprint TEXT NOT NULL,
    station_tx_id TEXT,
    upstream_tx_id INTEGER,
    other_upstream_ids TEXT NOT NULL,       -- JSON array
    token TEXT,
    "group" TEXT,
    state TEXT NOT NULL,                    -- running | ended | unclosed
    status TEXT,
    status_reason TEXT,
    status_expiry TEXT,
    late_status TEXT,
    deauthorized INTEGER NOT NULL,
    started TEXT NOT NULL,                  -- the station's own timestamp, as sent
    meter_start_wh INTEGER,
    ended TEXT,
    meter_stop_wh INTEGER,
    stopped_reason TEXT,
    received TEXT,
    parked INTEGER NOT NULL
);

-- Store-and-forward. A delivered row keeps its fingerprint, not its payload, until it is pruned.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    station TEXT NOT NULL,
    dialect TEXT NOT NULL,
    message_id TEXT NOT NULL,
    action TEXT NOT NULL,
    payload BLOB NOT NULL,
    fingerprint TEXT NOT NULL,
    received TEXT NOT NULL,
    kind TEXT,                              -- Started | Updated | Ended | NULL
    "transaction" INTEGER,
    token TEXT,
    state TEXT NOT NULL,                    -- queued | released | delivered | parked
    offline INTEGER NOT NULL,
    bound_tx_id INTEGER,
    errors INTEGER NOT NULL,
    last_error TEXT
);

-- Deliveries that may have reached the CSMS without an answer reaching us.
CREATE TABLE unknown_outcome (
    row INTEGER PRIMARY KEY,
    station TEXT NOT NULL,
    message_id TEXT NOT NULL,
    action TEXT NOT NULL,
    "transaction" INTEGER,
    noticed TEXT NOT NULL
);

CREATE TABLE latest (
    station TEXT NOT NULL,
    slot TEXT NOT NULL,
    dialect TEXT NOT NULL,
    action TEXT NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (station, slot)
) WITHOUT ROWID;

CREATE TABLE token (
    token TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    "group" TEXT,
    expiry TEXT,
    seen TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE remote_start (
    station TEXT NOT NULL,
    token TEXT NOT NULL,
    until TEXT NOT NULL,
    PRIMARY KEY (station, token)
) WITHOUT ROWID;

CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
