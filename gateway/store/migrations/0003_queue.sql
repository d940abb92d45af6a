-- Queue: what may be thinned, why a row is set aside, what was done to it.

ALTER TABLE outbox ADD COLUMN samples INTEGER NOT NULL DEFAULT 0;      -- nothing but meter samples
ALTER TABLE outbox ADD COLUMN parked TEXT;                             -- reason, while the state is parked
ALTER TABLE "transaction" ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0; -- meter values dropped to save room

-- What was done to the queue and to this file. The newest are kept.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    station TEXT,
    text TEXT NOT NULL,
    detail BLOB                             -- JSON
);
