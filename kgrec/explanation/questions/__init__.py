"""Counterfactuals, summaries and batches."""
