"""Scores of predictions, how sure one can be of them, and what an opening of the test set scored."""
