"""Questions asked over many runs: which settings, which difference, does the graph help."""
