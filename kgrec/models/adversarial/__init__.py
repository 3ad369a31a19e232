"""Models that are trained against each other."""
