"""The search: Auptimizer's experiment loop, and what keeps its faults away from users."""
