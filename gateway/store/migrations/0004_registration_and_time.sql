-- The CSMS's last word on the station's boot, what the station itself was told, and the wait the CSMS wants.
ALTER TABLE station ADD COLUMN registration TEXT;
ALTER TABLE station ADD COLUMN told TEXT;
ALTER TABLE station ADD COLUMN wait_s INTEGER NOT NULL DEFAULT 0;

-- When a message came, for what was recorded while the time was not known: "boot of the box:monotonic seconds".
ALTER TABLE outbox ADD COLUMN stamp TEXT;
ALTER TABLE "transaction" ADD COLUMN stamp TEXT;

-- The time under each boot of the box: epoch seconds at monotonic 0, how sure that is, and the latest time seen.
CREATE TABLE clock_base (
    boot TEXT PRIMARY KEY,
    anchor_s REAL NOT NULL,
    trust TEXT NOT NULL,                    -- estimated | rtc | csms | system | ntp
    last_s REAL NOT NULL
) WITHOUT ROWID;

-- The time a station was given last, as an anchor under that boot, and how far its own clock was found ahead.
CREATE TABLE station_clock (
    station TEXT PRIMARY KEY,
    boot TEXT NOT NULL,
    anchor_s REAL,
    skew_s REAL
) WITHOUT ROWID;
