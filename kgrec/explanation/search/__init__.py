"""The paths between a user and an item."""
