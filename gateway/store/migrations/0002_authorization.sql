-- Local Authorization Lists, reservations, and a token cache that knows age and place.

-- Content of a list, by its digest: stations that were given the same one share it. A JSON array of entries.
CREATE TABLE local_list (
    digest TEXT PRIMARY KEY,
    entries BLOB NOT NULL
) WITHOUT ROWID;

-- What the CSMS believes (version, digest, given) beside what the station holds (held_version, held_digest).
CREATE TABLE station_authorization (
    station TEXT PRIMARY KEY,
    version INTEGER,
    digest TEXT,
    given TEXT,
    held_version INTEGER,
    held_digest TEXT,
    cache_cleared TEXT,
    clear_due INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE reservation (
    station TEXT NOT NULL,
    id INTEGER NOT NULL,
    evse INTEGER,
    token TEXT NOT NULL,
    "group" TEXT,
    until TEXT NOT NULL,
    PRIMARY KEY (station, id)
) WITHOUT ROWID;

ALTER TABLE token ADD COLUMN used TEXT NOT NULL DEFAULT '';
UPDATE token SET used = seen;
ALTER TABLE token ADD COLUMN station TEXT;
ALTER TABLE token ADD COLUMN evses TEXT NOT NULL DEFAULT '[]';      -- JSON array

ALTER TABLE "transaction" ADD COLUMN token_fingerprint TEXT;
UPDATE "transaction" SET token_fingerprint = start_fingerprint WHERE token IS NOT NULL;
