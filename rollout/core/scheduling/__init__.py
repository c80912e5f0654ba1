"""Scheduling: which ticks of a schedule are due, and what happens to each. Pure."""
