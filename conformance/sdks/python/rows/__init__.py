"""One module a row: `build(pipeline, task)` answers the lines to observe, or None where the row writes files of its own."""
