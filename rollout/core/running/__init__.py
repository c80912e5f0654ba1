"""Decide during a run: what each instance needs next, and what the journal says. Pure."""
