"""Knowledge graph embeddings."""
