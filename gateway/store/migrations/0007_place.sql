-- The site as one station: what its connectors (EVSEs) are called upstream. A number is never given again.
CREATE TABLE place (
    number INTEGER PRIMARY KEY,
    station TEXT NOT NULL,
    evse INTEGER NOT NULL,
    is_removed INTEGER NOT NULL
);
