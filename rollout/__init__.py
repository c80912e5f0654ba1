"""Rotate SSH key pairs over fleets of Alibaba Cloud ECS instances."""
