-- The CSMS's last word on the station's boot, what the station itself was told, and the wait the CSMS wants.
ALTER TABLE station ADD COLUMN registration TEXT;
ALTER TABLE station ADD COLUMN told TEXT;
ALTER TABLE station ADD COLUMN wait_s INTEGER NOT NULL DEFAULT 0;
