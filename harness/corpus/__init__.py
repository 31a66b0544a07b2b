"""The corpus on disk: where it keeps its files, what they say, and what is wrong with them."""
