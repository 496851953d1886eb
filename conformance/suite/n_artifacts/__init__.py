"""Area N: artifacts from the client through the runner to the worker, and provision."""
