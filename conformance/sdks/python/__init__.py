"""The rows in Beam's Python SDK. Imports apache_beam and nothing of the suite, so that it runs in any interpreter that has Beam."""
