"""Models of news texts."""
