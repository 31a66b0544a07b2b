"""Trains and scores a model from hyperparameters and a split, alone or as a trial."""
