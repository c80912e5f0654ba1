"""Settings of all tests. Hypothesis has no deadline, so a slow machine fails no test."""

from hypothesis import settings

settings.register_profile("rollout", deadline=None)
settings.register_profile(  # a verdict on a mutant must not depend on chance
    "mutants", deadline=None, max_examples=25, derandomize=True, database=None
)
settings.load_profile("rollout")
