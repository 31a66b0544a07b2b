"""The report of a search, in a terminal and on one page that opens from disk."""
