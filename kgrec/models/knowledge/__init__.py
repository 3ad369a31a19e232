"""Models of interactions and a knowledge graph."""
