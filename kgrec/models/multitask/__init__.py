"""Several tasks by one network."""
