"""L4, the simulator: virtual time, injected faults, crashes, and checkers of what came of it."""
