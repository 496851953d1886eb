"""Area B: the life of functions and bundles, and what failures do to a job."""
