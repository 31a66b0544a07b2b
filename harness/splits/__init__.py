"""The utterances for training, validation and test under each named protocol."""
