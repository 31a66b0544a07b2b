"""results.db: what was tried, what it scored, what went wrong, and how often the test set was opened."""
