"""Assertions about the data plane (area P)."""
