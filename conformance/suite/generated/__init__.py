"""Generated programs: from the oracle's language to pipelines, the functions they name, and the property runner."""
