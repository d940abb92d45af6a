"""Meter drivers. A leaf: imports nothing of the gateway. The contract is `drivers.api`, the list `drivers.registry`."""
