"""The search: Auptimizer's experiment loop, and the code that shields users from its faults."""
