"""NextToken: where a page ends, opaque to the caller.

Written and read by the actions that page by token. A token names the ordinal to go on with, so a
page costs what a page costs, however long the list is, and a token lives for ever.
"""

import base64
import binascii
import zlib
from typing import Final

from rollout.emulator.messages import Refusal

_NUMBER_BYTES: Final = 8


def write(ordinal: int) -> str:
    """The token of the page that begins at `ordinal`."""
    number = ordinal.to_bytes(_NUMBER_BYTES, "big")
    return base64.urlsafe_b64encode(number + _check(number)).decode()


def read(token: str) -> int:
    """The ordinal of a token, 0 for none. Errors: Refusal for anything we did not write."""
    if not token:
        return 0
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("InvalidParameter.NextToken") from None
    number = data[:_NUMBER_BYTES]
    if len(number) != _NUMBER_BYTES or data[_NUMBER_BYTES:] != _check(number):
        raise Refusal("InvalidParameter.NextToken")
    return int.from_bytes(number, "big")


def _check(number: bytes) -> bytes:
    return zlib.crc32(number).to_bytes(4, "big")
