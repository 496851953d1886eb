"""Area I: splittable functions on bounded input."""
