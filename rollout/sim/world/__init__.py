"""The simulated world: cloud, network, disk, processes and operators of one run."""
