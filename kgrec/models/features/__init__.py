"""Models over fields: ids, attributes of users, triples of items, numbers."""
