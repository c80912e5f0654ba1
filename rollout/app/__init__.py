"""Use cases: plain arguments in, plain results out. The command line and Python call them."""
