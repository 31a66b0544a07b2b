"""The systems: a list of them, and the functions that build their Keras models."""
