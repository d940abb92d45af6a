"""Simulated peers on the third-party `ocpp` package, the history checker and the demo: strangers to the gateway."""
