"""Tables of text: delimited files, JSON Lines, what columns hold."""
