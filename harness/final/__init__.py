"""After the search: retraining, the test evaluation, predictions, and what the best trial is worth."""
