"""Triples in, triples out: assemble, join, filter, hold out."""
