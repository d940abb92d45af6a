"""The side of the stations: listeners, handshakes, credentials, and one object a connected station."""
