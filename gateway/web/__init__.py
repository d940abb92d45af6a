"""The local API: what the command line and the page ask a running gateway."""
