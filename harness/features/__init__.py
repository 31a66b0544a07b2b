"""Utterances become arrays: speech, text and motion, unscaled, stored once and memory-mapped."""
