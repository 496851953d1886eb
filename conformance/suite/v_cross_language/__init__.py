"""Area V: pipelines with parts that another SDK expanded."""
