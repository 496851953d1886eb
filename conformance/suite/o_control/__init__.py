"""Assertions about the Fn API control plane (area O)."""
