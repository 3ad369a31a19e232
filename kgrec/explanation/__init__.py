"""Paths between a user and an item, and what removing them does to the score."""
