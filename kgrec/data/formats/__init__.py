"""The formats of the field, one a file: recognize, read, write."""
