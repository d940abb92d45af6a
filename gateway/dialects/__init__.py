"""OCPP versions as tables: an action's row says what the gateway does with it."""
