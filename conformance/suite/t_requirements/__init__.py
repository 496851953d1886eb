"""Area T: requirements of pipelines, capabilities of workers and runners."""
