"""Other explainers, to be measured beside measured paths."""
