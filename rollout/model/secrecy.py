"""Detect secrets, so that none is accepted in an input or repeated in a message.

Used by the spec reader and the inventory; knows formats and field names only.
"""

from __future__ import annotations

import re

MASK = "***"

_SHAPES = (
    r"LTAI[A-Za-z0-9]{12,}",  # AccessKey id of an account or a RAM user
    r"STS\.[A-Za-z0-9]{16,}",  # AccessKey id of temporary credentials
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----",
    r"PuTTY-User-Key-File-",
)
_SHAPE = re.compile("|".join(_SHAPES))
_SHAPE_BYTES = re.compile("|".join(_SHAPES).encode())
_NAMES = frozenset(
    (
        "accesskey",
        "accesskeyid",
        "accesskeysecret",
        "password",
        "passwd",
        "privatekey",
        "secret",
        "secretaccesskey",
        "secretkey",
        "securitytoken",
    )
)
_REFERENCE = ("env:", "file:", "kms:")


def find(text: str) -> int | None:
    """Return the offset of the first secret; None if there is none."""
    match = _SHAPE.search(text)
    return match.start() if match else None


def find_in_bytes(raw: bytes) -> int | None:
    """Return the same for undecoded bytes."""
    match = _SHAPE_BYTES.search(raw)
    return match.start() if match else None


def is_named(name: str, value: str) -> bool:
    """Return whether a field's name marks its value as a secret, and the value is no reference."""
    squeezed = name.replace("_", "").replace("-", "").lower()
    return squeezed in _NAMES and bool(value) and not value.startswith(_REFERENCE)


def masked(text: str) -> str:
    """Return the text with every secret masked."""
    return _SHAPE.sub(MASK, text)
