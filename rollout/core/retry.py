"""Attempts and back-off, without a random number: jitter is a hash of what is tried again."""

from __future__ import annotations

import hashlib

from rollout.model import limits
from rollout.model.time import Duration


def backoff_ms(run: str, instance: str, attempt: int) -> Duration:
    """Full jitter in [0, min(cap, base * 2^attempt)), equal in every engine and on resume.

    Source of the form: AWS Builders' Library, "Timeouts, retries and backoff with jitter".
    """
    ceiling = min(limits.RETRY_CAP_MS, limits.RETRY_BASE_MS << min(attempt, 16))
    seed = f"{run}\0{instance}\0{attempt}".encode()
    draw = int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big")
    return draw % ceiling
