"""A prepared key gives the codes that the library's own HMAC gives."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from rollout.emulator.macs import Mac


@given(st.binary(max_size=130), st.lists(st.binary(max_size=200), max_size=3))
def test_a_prepared_key_signs_as_the_library_does(key: bytes, texts: list[bytes]) -> None:
    """Keys shorter and longer than a block, one text after another."""
    mac = Mac(key)
    assert [mac.hex(text) for text in texts] == [
        hmac.digest(key, text, "sha256").hex() for text in texts
    ]
