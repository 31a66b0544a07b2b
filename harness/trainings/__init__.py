"""Trainings that a command carries out in its own process, each a trial in results.db."""
