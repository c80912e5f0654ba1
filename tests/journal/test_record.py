"""What may stand in a line, and what a line that cannot be read is called."""

import pytest

from rollout.journal import record
from rollout.journal.chain import GENESIS, Chain
from rollout.journal.record import LineError
from rollout.model.event import Anomaly, Issued, Moved
from rollout.model.observation import spread
from tests.journal import samples

CANARIES = (
    "LTAI5tCanaryCanaryCanary",
    "STS.NUcanarycanarycanary",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXkCanary\n-----END OPENSSH PRIVATE KEY-----",
    "Signature=c2VjcmV0LWNhbmFyeQ%3D%3D",
    'the "Signature": "c2VjcmV0LWNhbmFyeQ" does not match',
    "SecurityToken=CAISzwJ1q6Ft5B2yfSjIr5",
    "x-acs-security-token: CAISzwJ1q6Ft5B2yfSjIr5",
    "AccessKeyId%3DTMP.canarycanary&",
    "AccessKeySecret: canary0canary1canary2",
)


def encoded(text: str) -> bytes:
    """The line that a text of the service would stand in."""
    buffer = bytearray()
    Chain().extend(buffer, [Anomaly(1, text)], samples.NOW)
    return bytes(buffer[:-1])


@pytest.mark.parametrize("canary", CANARIES)
def test_no_secret_reaches_a_line(canary: str) -> None:
    """Credentials are replaced before they are written, and the line stays JSON."""
    line = encoded(f"before {canary} after")

    assert b"anary" not in line and b"c2VjcmV0" not in line and b"CAISzw" not in line
    text = record.decode(line).body[0]
    assert isinstance(text, Anomaly) and text.text.startswith("before ") and "***" in text.text


@pytest.mark.parametrize("text", ["Signature mismatch", "LTAI", "i-bp1c9k2", "ops-2026q4", "密钥"])
def test_ordinary_words_stay(text: str) -> None:
    """Only text in the form of a credential is replaced."""
    assert record.decode(encoded(text)).body == (Anomaly(1, text),)


@pytest.mark.parametrize("text", ["\x00\x1b[31m", "a\x7fb", "\x85\x9b", "a\r\nb\tc", "é\x80"])
def test_control_characters_are_escaped_and_kept(text: str) -> None:
    """A line can be printed to a terminal, and says the very same after reading."""
    line = encoded(text)

    assert not [c for c in line.decode() if ord(c) < 32 or 127 <= ord(c) < 160]
    assert record.decode(line).body == (Anomaly(1, text),)


@pytest.mark.parametrize(
    "body, words",
    [
        ('[{"type":"MoonRose","full":true}]', "`MoonRose` is from a newer release"),
        ('[{"type":"Moved","trigger":"seen_gone","ordinals":[],"evidence":""}]', "seen_gone"),
        ("{}", "array"),
    ],
)
def test_an_unknown_event_is_named(body: str, words: str) -> None:
    """JSON that is no line of this release is no torn tail: it is refused by name."""
    raw = f'{{"seq":1,"at":1,"prev":"{GENESIS}","body":{body}}}'.encode()

    with pytest.raises(LineError) as caught:
        record.decode(raw)

    assert caught.value.code == "R0904" and not caught.value.torn
    assert words in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b'{"seq":1', b"\x00\x00", b"\xff\xfe", b'{"seq":1}}'])
def test_what_is_no_json_may_be_torn(raw: bytes) -> None:
    """A crash can leave half a line or garbage; a line of another program is an error."""
    with pytest.raises(LineError) as caught:
        record.decode(raw)

    assert caught.value.torn


def test_unknown_fields_of_a_line_are_refused() -> None:
    """A line has four fields and no others."""
    raw = f'{{"seq":1,"at":1,"prev":"{GENESIS}","body":[],"note":""}}'.encode()

    with pytest.raises(LineError):
        record.decode(raw)


def test_only_events_about_instances_can_be_halved() -> None:
    """An event is split only if both halves together mean the same."""
    moved = samples.turn(7)[2]
    assert isinstance(moved, Moved)

    assert record.halves(moved) is None
    assert record.halves(samples.started()) is None


def test_an_intent_of_an_earlier_release_is_read() -> None:
    """Where each instance had an entry of its own, and cell, epoch and attempt stood in each."""
    raw = (
        b'{"seq":3,"at":1795400009120,"prev":"00","body":[{"type":"Issued","n":1,"epoch":1,"command":'
        b'{"type":"AttachKeyPair","cell":0,"ordinals":[0,1],"instances":["i-0","i-1"]},"attempt":1,'
        b'"not_after":1795400060000,"digest":"0000000000000000","observed":'
        b'[["Running","ops",1795313600000,1795400000000],["Running","ops",0,1795400000000]]}]}'
    )

    (event,) = record.decode(raw).body

    assert isinstance(event, Issued)
    assert (event.epoch, event.attempt) == (1, 1)
    assert [sight.started_at for sight in spread(event.observed)] == [1_795_313_600_000, 0]
