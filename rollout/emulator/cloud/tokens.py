"""NextToken: the position where a page ends, opaque to the caller.

Written and read by the actions that page by token. A token names the next ordinal, so the cost of a
page does not depend on the length of the list. It never expires, unless it contains the instant
when it was written: then the reader decides.
"""

import base64
import binascii
import zlib
from typing import Final

from rollout.emulator.messages import Refusal

_NUMBER_BYTES: Final = 8
_CHECK_BYTES: Final = 4


def write(ordinal: int, at: int = 0) -> str:
    """Return the token of the page that begins at `ordinal`, written at `at` (0 = not recorded)."""
    data = ordinal.to_bytes(_NUMBER_BYTES, "big")
    if at:
        data += at.to_bytes(_NUMBER_BYTES, "big")
    return base64.urlsafe_b64encode(data + _check(data)).decode()


def read(token: str, oldest: int = 0) -> int:
    """Return the ordinal of a token, 0 for none.

    Errors: Refusal for a token that was not written here, or before `oldest`.
    """
    if not token:
        return 0
    try:
        whole = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("InvalidParameter.NextToken") from None
    data, check = whole[:-_CHECK_BYTES], whole[-_CHECK_BYTES:]
    if len(data) not in {_NUMBER_BYTES, 2 * _NUMBER_BYTES} or check != _check(data):
        raise Refusal("InvalidParameter.NextToken")
    at = int.from_bytes(data[_NUMBER_BYTES:], "big")
    if at and at < oldest:
        raise Refusal("InvalidParameter.NextToken")
    return int.from_bytes(data[:_NUMBER_BYTES], "big")


def _check(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECK_BYTES, "big")
