"""What leaves for other systems: a hub's folder, an index of vectors."""
