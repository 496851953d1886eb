"""The SDK axis: the rows of the talk's table, written in Beam's own SDKs and run on any runner.

`rows.toml` has the rows as data; `python`, `go` and `java` have one source file a row and a driver each, a process that runs rows
as it is told. Here is what all SDKs share: inputs, what must come out, the drivers, the judgement. See `docs/sdks.md`.
"""
