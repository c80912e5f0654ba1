"""Check texts that plans, journals and requests must be able to contain; join texts."""

from __future__ import annotations

from collections.abc import Sequence


def is_text(text: str) -> bool:
    """Return whether UTF-8 can encode the text: it has no halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def cut(text: str, most: int) -> str:
    """Return the text, or its start and `…` if it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def some(texts: Sequence[str], most: int = 4) -> str:
    """Return the first texts separated by commas, and the number of the others."""
    rest = len(texts) - most
    shown = ", ".join(texts[:most])
    return f"{shown} and {rest:,} more" if rest > 0 else shown
