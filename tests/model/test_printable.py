"""Characters that could steer a terminal are spelled out."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model import printable

ESC = "\x1b[2J"
RIGHT_TO_LEFT = "\u202e"


@pytest.mark.parametrize(
    "text,shown",
    [
        (f"web{ESC}", "web\\u{1b}[2J"),
        (f"a{RIGHT_TO_LEFT}b", "a\\u{202e}b"),
        ("two\nlines", "two\\u{a}lines"),
        ("a\u2028b\x85c\x7f", "a\\u{2028}b\\u{85}c\\u{7f}"),
        ("杭州\u3000 café\u00a0ok", "杭州\u3000 café\u00a0ok"),
    ],
)
def test_unsafe_characters_are_escaped_and_others_unchanged(text: str, shown: str) -> None:
    """Escape sequences and bidirectional marks are visible; Chinese text is unchanged."""
    assert printable.escaped(text) == shown


@given(st.text(st.characters()))
def test_no_unsafe_character_is_left(text: str) -> None:
    """Whatever comes in, only line feeds of `escaped_lines` and `escaped_json` remain."""
    for shown in (
        printable.escaped(text),
        printable.escaped_lines(text).replace("\n", ""),
        printable.escaped_json(text).replace("\n", ""),
    ):
        assert not any(unicodedata.category(one) in printable._UNSAFE for one in shown)


@given(st.text(st.characters()))
def test_escaped_json_means_the_same(text: str) -> None:
    """A JSON document reads back as the value that was written."""
    document = printable.escaped_json(json.dumps({"name": text}, ensure_ascii=False, indent=1))

    assert json.loads(document) == {"name": text}
