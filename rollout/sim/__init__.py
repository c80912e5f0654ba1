"""L4, the simulator: the core driven from a heap, in virtual time."""
