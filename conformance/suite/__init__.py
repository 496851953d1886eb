"""The assertions, one folder an area of the ledger, and the ledger itself. The oracle decides what is admissible."""
