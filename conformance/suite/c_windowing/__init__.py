"""Area C: windowing."""
