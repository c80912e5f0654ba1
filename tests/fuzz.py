"""Settings of tests with generated cases, and sample texts for those of the input readers."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "500"))
"""Examples of each fuzz test. `make soak` sets more."""

fuzzed = settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def cases(number: int) -> settings:
    """Return the settings of a property whose cases are expensive: so many of them, but as many as
    the profile says for `make soak` and for mutants.
    """
    profile, usual = settings(), settings.get_profile("default")
    own = profile.max_examples == usual.max_examples
    return settings(max_examples=number if own else profile.max_examples)


ODD = [
    "\u2028",
    "\x85",
    "\x0c",
    "\x1c",
    "\0",
    "\ud83d",
    "\\ud83d",
    "\\udc00",
    "\U0001f600",
    "\ufeff",
    "\u200b",
    "\u00a0",
    "\r",
    "\n",
    "\t",
    '"',
    "'",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ";",
    ":",
    "=",
    "-",
    "null",
    "true",
    "NaN",
    "1e999",
    "9" * 30,
    "&a",
    "*a",
    "!!x",
    "<<: ",
    "%",
]
"""Texts that have caused errors in readers, here or elsewhere."""

PIECE = st.sampled_from(ODD) | st.text(max_size=4)
SCALAR = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(ODD)
)


def json_values(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Return a strategy for JSON values whose objects have these keys."""
    return st.recursive(
        SCALAR,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=8,
    )


@st.composite
def edited(draw: st.DrawFn, text: str) -> bytes:
    """Insert some of these texts. Return bytes that may be invalid UTF-8."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        text = text[:start] + draw(PIECE) + text[end:]
    raw = text.encode("utf-8", "surrogatepass")
    if draw(st.booleans()):
        return raw
    at = draw(st.integers(0, len(raw)))
    return raw[:at] + draw(st.binary(max_size=3)) + raw[at:]
