"""What a text must be so that plans, journals and requests can hold it."""

from __future__ import annotations


def is_text(text: str) -> bool:
    """True for a text that UTF-8 can encode: one without halves of surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
