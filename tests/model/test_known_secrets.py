"""Secrets that are masked by value: in every encoding, and never as a part of ordinary words."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model.known_secrets import KEPT_MAX, LENGTH_MIN, KnownSecrets

SECRET = "canary-Secret/With+Odd=Signs&More<>\"'\\%"
PLAIN = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=80)
AROUND = st.text(st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=30)


def knowing(*secrets: str) -> KnownSecrets:
    """A collection that has learned these."""
    made = KnownSecrets()
    for secret in secrets:
        made.learn(secret)
    return made


def spellings(secret: str, before: str) -> list[str]:
    """A text with the secret in it, as programs and protocols write it."""
    text = before + secret
    return [
        text,
        quote(text),
        quote(text, safe=""),
        quote_plus(text),
        quote(quote(secret, safe=""), safe=""),
        urlencode({"a": secret, "b": before}),
        json.dumps(secret),
        json.dumps({"a": json.dumps({"b": secret})}),
        json.dumps(secret).replace("/", "\\/"),
        html.escape(secret),
        secret.encode().hex(),
        secret.encode().hex().upper(),
    ]


@given(PLAIN, AROUND)
def test_no_spelling_of_a_secret_stays(secret: str, before: str) -> None:
    """No encoding of the secret remains in a text or in bytes."""
    known = knowing(secret)
    for text in spellings(secret, before):
        for left in (known.blank(text), known.blank_bytes(text.encode()).decode()):
            assert "***" in left
            assert not any(form in left for form in spellings(secret, ""))


@given(PLAIN, st.binary(max_size=9), st.binary(max_size=9), st.booleans())
def test_base64_of_a_longer_text_shows_at_most_a_few_bits(
    secret: str,
    before: bytes,
    after: bytes,
    urlsafe: bool,  # noqa: FBT001 - drawn
) -> None:
    """Of a secret inside a text in base64 no three characters in a row can be decoded."""
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    left = knowing(secret).blank(encode(before + secret.encode() + after).decode())

    assert "***" in left
    head, _, tail = left.partition("***")
    decode = base64.urlsafe_b64decode if urlsafe else base64.b64decode
    shown = decode(head[: len(head) // 4 * 4]), decode(tail[len(tail) % 4 :])
    pieces = [secret.encode()[n : n + 3] for n in range(len(secret) - 2)]
    assert not any(piece in shown[0][len(before) :] for piece in pieces)


@pytest.mark.parametrize(
    "word", ["", "s", "secret", "emulator", "password", "TESTSECRET", "administrator"]
)
def test_ordinary_words_are_never_blanked(word: str) -> None:
    """A short key, or one that is a word, would mask half of every message."""
    assert knowing(word).blank(f"the {word} of the emulator") == f"the {word} of the emulator"


@pytest.mark.parametrize("secret", ["emulator-secret", "s3cr3t-x", "Mixed0123", "x" * 16])
def test_short_secrets_that_are_no_words_are_blanked(secret: str) -> None:
    """From eight characters on, a text with digits, signs or both cases is a secret."""
    assert len(secret) >= LENGTH_MIN
    assert knowing(secret).blank(f"<{secret}>") == "<***>"


def test_the_latest_secrets_are_kept() -> None:
    """Tokens are renewed all day: old ones are forgotten, one that is used again is not."""
    secrets = [f"token-number-{number:04}" for number in range(KEPT_MAX + 5)]
    known = knowing(secrets[0], *secrets[1:KEPT_MAX], secrets[0], *secrets[KEPT_MAX:])

    assert known.blank(secrets[-1]) == known.blank(secrets[0]) == "***"
    assert known.blank(secrets[1]) == secrets[1]


@given(PLAIN)
def test_escapes_for_web_pages_hide_no_secret(secret: str) -> None:
    """A JSON encoder may escape any character: `=` and `&` are often written as numbers."""
    text = "".join(f"\\u{ord(each):04x}" if each not in '"\\' else "x" for each in secret)
    known = knowing(secret.replace('"', "x").replace("\\", "x"))

    assert known.blank_bytes(f'{{"a":"{text}"}}'.encode()) == b'{"a":"***"}'


def test_it_shows_nothing_of_itself() -> None:
    """Printed or inspected, the collection shows a count."""
    known = knowing(SECRET)

    assert repr(known) == "1 secrets"
    assert not hasattr(known, "__dict__")


def test_other_text_is_the_very_same_object() -> None:
    """Nearly all text holds no secret, and costs no copy."""
    raw = b'{"RequestId":"473469C7"}'

    assert knowing(SECRET).blank_bytes(raw) is raw
