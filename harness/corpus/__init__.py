"""The corpus on disk: the places of its files, their contents, and their irregularities."""
