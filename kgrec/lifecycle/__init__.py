"""What becomes of a run after its training: newcomers, updates, people who leave."""
