"""L4: engines that perform the core's commands."""
