"""Golden pipelines: small programs that a person can check by eye, with inputs and expected outputs in `fixtures/golden`."""
