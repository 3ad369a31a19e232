"""Models that recommend by walking the graph."""
