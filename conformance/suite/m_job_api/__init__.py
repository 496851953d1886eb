"""Area M: the Job API, driven by probes."""
