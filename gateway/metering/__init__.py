"""Keeps the meters' drivers alive and turns what they read into what can be relied on."""
