"""Area W: ordering, hints and what fits nowhere else."""
