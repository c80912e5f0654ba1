"""Rules that must hold whatever the world does. Never stripped, also in production."""

from __future__ import annotations


class Bug(Exception):
    """We broke our own rule: the run stops, exit 1. Not a user's mistake."""


def invariant(condition: object, text: str) -> None:
    """Raise `Bug` with the rule's text where it does not hold."""
    if not condition:
        raise Bug(text)
