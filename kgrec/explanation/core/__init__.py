"""Records of explanations. Imports no torch."""
