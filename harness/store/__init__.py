"""results.db: what was tried, what it scored, what went wrong, and every test evaluation."""
