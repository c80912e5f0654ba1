"""L1, the verbs: plan, decide, evolve. Pure: no clock, no loop, no network, no randomness."""
