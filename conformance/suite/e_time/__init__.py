"""Area E: timestamps and watermarks."""
