"""A run: fitted, stored, opened, asked."""
