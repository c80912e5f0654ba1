"""What all tests share: the speed of the machine never decides, so Hypothesis has no deadline."""

from hypothesis import settings

settings.register_profile("rollout", deadline=None)
settings.load_profile("rollout")
