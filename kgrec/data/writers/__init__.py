"""Datasets written in the formats of the field, one format a file."""
