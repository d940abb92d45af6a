"""OCPP-J without I/O: frames, splices and the session of one socket."""
