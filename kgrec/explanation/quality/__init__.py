"""The quality of explanations, measured."""
