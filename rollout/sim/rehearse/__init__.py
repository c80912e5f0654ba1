"""Rehearsal of a plan: seeds simulated on the cloud the plan describes, and their forecast."""
