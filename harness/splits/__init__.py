"""Which utterances train, validate and test, under protocols with names."""
