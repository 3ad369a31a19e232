"""What becomes of a graph's statements: plumbing flattened, axioms dropped, classes as edges."""
