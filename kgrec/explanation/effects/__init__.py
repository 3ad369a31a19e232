"""What paths and facts contribute to a score."""
