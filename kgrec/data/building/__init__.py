"""``Dataset.build``: one dataset from many sources."""
