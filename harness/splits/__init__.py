"""The utterances that train, validate and test, under protocols with names."""
