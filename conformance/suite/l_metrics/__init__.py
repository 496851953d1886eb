"""Area L: metrics, from the worker's report to the answer of GetJobMetrics."""
