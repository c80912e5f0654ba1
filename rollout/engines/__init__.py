"""L4, the engines that turn the core's commands into effects."""
