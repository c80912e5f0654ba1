"""HMAC-SHA256 with a key that was prepared: the check of a V3 signature.

Used by the gateway, which checks all calls of a user with the same key. The one-shot function of
the library looks its algorithm up and hashes the key anew for each, which costs more than the text.
"""

import hashlib
from typing import Final

_BLOCK_BYTES: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


class Mac:
    """One key. Source: RFC 2104."""

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK_BYTES:
            key = hashlib.sha256(key).digest()
        block = key.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER))
        self._outer = hashlib.sha256(block.translate(_OUTER))

    def hex(self, text: bytes) -> str:
        """The authentication code of a text, in lower-case hex."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.hexdigest()
