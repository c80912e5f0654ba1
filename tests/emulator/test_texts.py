"""Texts in bytes are the texts that went in, whatever is in them and however many they are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.emulator.cloud.shapes import TagSets, fragment, tags_field
from rollout.emulator.cloud.texts import Numbered, Texts

any_text = st.text(st.characters(exclude_categories=["Cs"]))
few_texts = st.one_of(st.sampled_from(["", "a", "b", "é", "\x00"]), any_text)
tag_sets = st.dictionaries(st.text(st.sampled_from('aé"\\\n\t}{,:'), max_size=8), any_text)


@given(st.lists(any_text))
def test_texts_are_a_list(texts: list[str]) -> None:
    """The same texts under the same numbers, and no more of them."""
    kept = Texts()
    for text in texts:
        kept.append(text)
    assert [kept[number] for number in range(len(kept))] == texts
    with pytest.raises(IndexError):
        kept[len(texts)]


@given(st.lists(few_texts), st.lists(few_texts))
def test_numbered_texts_are_a_dict(added: list[str], asked: list[str]) -> None:
    """Each different text has one number, in the order of their first coming; others have none."""
    numbered = Numbered()
    numbers: dict[str, int] = {}
    for text in added:
        assert numbered.add(text) == numbers.setdefault(text, len(numbers))
    assert [numbered.texts[number] for number in range(len(numbered.texts))] == [*numbers]
    assert [numbered.find(text) for text in asked] == [numbers.get(text) for text in asked]


def test_many_texts_are_found_while_their_slots_grow() -> None:
    """No text is lost or doubled where the slots double, several times over."""
    numbered = Numbered()
    texts = [f"i-{number}" for number in range(5_000)]
    for number, text in enumerate(texts):
        assert numbered.add(text) == number
        assert numbered.find(texts[number // 2]) == number // 2
    assert [numbered.add(text) for text in texts] == list(range(5_000))
    assert numbered.find("i-5000") is None


@given(st.lists(tag_sets))
def test_sets_of_tags_come_back_as_they_were(sets: list[dict[str, str]]) -> None:
    """As values and as rows write them, also where a tag has the marks of JSON or of the store."""
    stored = TagSets()
    for tags in sets:
        given = tuple(tags.items())
        number = stored.add(given)
        assert stored.add(given) == number
        assert stored.value(number) == given
        shown = f",{fragment({'Tags': tags_field(given)})}" if given else ""
        assert stored.rendered[number] == shown
