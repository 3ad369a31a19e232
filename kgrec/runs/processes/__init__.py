"""What several processes share of the work on a run, and what it would take."""
