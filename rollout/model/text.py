"""Check texts that plans, journals and requests must be able to contain."""

from __future__ import annotations


def is_text(text: str) -> bool:
    """Return whether UTF-8 can encode the text: it has no halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
