"""Items <-> entities, users <-> facts."""
