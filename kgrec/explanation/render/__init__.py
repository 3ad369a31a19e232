"""Explanations as sentences, pages, trees, frames and RDF."""
