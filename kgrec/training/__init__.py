"""Walking a plan: samplers, the loop, early stopping, checkpoints."""
