"""Area G: timers."""
