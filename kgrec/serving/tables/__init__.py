"""What a run's lists are made of, as memory-mapped arrays, and the lists: numpy alone."""
