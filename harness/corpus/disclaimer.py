"""What stands wherever a score on the synthetic corpus does."""

SYNTHETIC_SENTENCE = "This corpus is synthetic: no score on it is a score on IEMOCAP."
