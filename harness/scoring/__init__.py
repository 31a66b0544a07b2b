"""Scores of predictions, their uncertainty, and the scores of one test evaluation."""
