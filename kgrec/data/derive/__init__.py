"""Datasets made of datasets."""
