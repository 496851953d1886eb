"""Area R: logging and worker status."""
