"""Conformance test suite and reference runner for Apache Beam portable runners. The map of the package is docs/architecture.md."""

__version__ = "0.1.0"
