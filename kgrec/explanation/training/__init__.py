"""What the score would be had a like or a fact never been in the data."""
