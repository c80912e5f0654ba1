"""Jitter without randomness: a number that depends on a text alone.

Used wherever calls or renewals of many callers must not meet. Pure.
"""

from __future__ import annotations

import hashlib


def share_of(text: str) -> float:
    """Return a number in [0, 1), evenly spread over texts and equal in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) / 2**32
