"""One paper, one file; ``catalog`` lists them without importing any."""
