"""Area A: core transforms."""
