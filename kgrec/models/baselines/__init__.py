"""Baselines without parameters to train."""
