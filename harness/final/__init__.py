"""After the search: retraining, the test evaluation, other corpora, predictions, new seeds and leaks."""
