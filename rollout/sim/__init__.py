"""L4, the simulator: virtual time, injected faults, crashes, and checkers of the results."""
