"""`info` and `check`."""
