"""What a search found, in a terminal and on one page that opens from disk."""
