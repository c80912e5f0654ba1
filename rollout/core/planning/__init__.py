"""Decide before a run: who is rotated, in which waves, within which budgets. Pure."""
