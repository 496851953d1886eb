"""Area F: user state."""
