"""Assertions about the state plane and caching (area Q)."""
