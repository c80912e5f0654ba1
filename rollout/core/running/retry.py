"""Back-off between attempts, without random numbers: jitter is a hash of the repeated call."""

from __future__ import annotations

import hashlib

from rollout.model import limits
from rollout.model.time import Duration


def backoff_ms(run: str, instance: str, attempt: int) -> Duration:
    """Return full jitter in [0, min(cap, base * 2^attempt)), equal in every engine and on resume.

    Source of the form: AWS Builders' Library, "Timeouts, retries and backoff with jitter".
    """
    ceiling = min(limits.RETRY_CAP_MS, limits.RETRY_BASE_MS << min(attempt, 16))
    return _draw(run, instance, attempt) % ceiling


def busy_pause_ms(run: str, instance: str, refusals: int) -> Duration:
    """Return the pause after the `refusals`-th refusal of a busy instance.

    It lies in the upper half of a ceiling that doubles up to its cap, so each pause is at least as
    long as the one before it until the cap is reached.
    """
    doublings = min(max(refusals - 1, 0), 16)
    half = min(limits.BUSY_PAUSE_CAP_MS, limits.BUSY_PAUSE_BASE_MS << doublings) // 2
    return half + _draw(run, instance, refusals) % half


def _draw(run: str, instance: str, attempt: int) -> int:
    seed = f"{run}\0{instance}\0{attempt}".encode()
    return int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest(), "big")
