"""The oracle judged: it must accept every legal outcome and be able to fail."""
