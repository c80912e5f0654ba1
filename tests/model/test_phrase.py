"""Phrases: English texts with values, which a catalogue can translate."""

import gettext

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model.phrase import joined, say, say_many


class Reversed(gettext.NullTranslations):
    """A language in which sentences are in brackets and one form serves every number."""

    def gettext(self, message: str) -> str:
        return f"<{message}>"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"<{msgid2}>"


def test_a_phrase_is_english_text() -> None:
    """`str` and f-strings give the English text with its values."""
    phrase = say("no reply from {host} for {seconds:.0f} s", host="ecs", seconds=1.6)

    assert str(phrase) == f"{phrase}" == "no reply from ecs for 2 s"


@given(st.integers(0, 3_000))
def test_english_has_two_forms(number: int) -> None:
    """Only the number 1 has the first form."""
    text = str(
        say_many(
            "{number:,} instance in {zone}", "{number:,} instances in {zone}", number, zone="a"
        )
    )

    assert text == f"{number:,} {'instance' if number == 1 else 'instances'} in a"


def test_phrases_in_values_are_translated_too() -> None:
    """A phrase that quotes another one is translated with it; other values stay as they are."""
    cause = say_many("{number} row", "{number} rows", 3)
    phrase = say("{file}: {cause}", file="fleet.csv", cause=cause)

    assert str(phrase) == "fleet.csv: 3 rows"
    assert phrase.translated(Reversed()) == "<fleet.csv: <3 rows>>"


@given(st.text())
def test_values_are_no_templates(value: str) -> None:
    """Braces in a value, which comes from outside, have no meaning."""
    assert str(say("{value}", value=value)) == value


def test_a_phrase_never_becomes_part_of_a_document_unnoticed() -> None:
    """JSON encoders refuse a phrase, so that no catalogue can reach a journal or a plan."""
    with pytest.raises(TypeError):
        msgspec.json.encode(say("no reply"))


def test_phrases_with_the_same_text_are_equal() -> None:
    """Two phrases are equal if a person reads the same; a phrase never equals plain text."""
    assert say("row {number}", number=2) == say("row 2")
    assert len({say("row {number}", number=2), say("row 2")}) == 1
    assert say("row 2") != "row 2"


def test_sentences_are_joined_as_phrases() -> None:
    """Several sentences become one, and each is translated."""
    assert joined([]) == ""
    assert str(joined([say("one"), say("two"), "three"])) == "one; two; three"
    assert say("{text}", text=joined([say("one"), "two"])).translated(Reversed()) == (
        "<<<one>; two>>"
    )
