"""Area S: environments."""
