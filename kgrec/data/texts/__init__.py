"""Texts of items: tokens and word numbers."""
