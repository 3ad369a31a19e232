"""Interactions as rows: their one order, and logs that are larger than memory."""
