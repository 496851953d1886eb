"""Area H: side inputs."""
