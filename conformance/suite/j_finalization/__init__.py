"""Area J: bundle finalization."""
