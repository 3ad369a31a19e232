"""Histories in the order of their times."""
