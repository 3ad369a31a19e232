"""Bytes in and out: files, compression, archives, the web, folders written whole."""
