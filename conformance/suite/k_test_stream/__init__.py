"""Area K: TestStream."""
