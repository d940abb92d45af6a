-- Translation between OCPP versions: what it remembers, what it has decided, and what tokens are called.
CREATE TABLE translation (
    station TEXT NOT NULL,
    name TEXT NOT NULL,                     -- field and key of what is remembered
    content BLOB NOT NULL,                  -- JSON
    PRIMARY KEY (station, name)
) WITHOUT ROWID;

CREATE TABLE translated (
    station TEXT NOT NULL,
    message_id TEXT NOT NULL,
    number INTEGER NOT NULL,                -- order of decision
    content BLOB NOT NULL,                  -- JSON
    PRIMARY KEY (station, message_id)
) WITHOUT ROWID;

CREATE TABLE token_alias (
    alias TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    type TEXT NOT NULL
) WITHOUT ROWID;
