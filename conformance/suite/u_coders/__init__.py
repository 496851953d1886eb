"""Area U: coders, in every position where a runner handles encoded values."""
