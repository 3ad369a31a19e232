"""The field's public data sets."""
