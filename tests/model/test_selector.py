"""Tag selectors in kubectl's grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model import selector
from rollout.model.instance import Tags
from rollout.model.selector import Operator, Requirement, SelectorError

WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters=" \t\n,()=!'\"", exclude_categories=("Z", "C")),
    min_size=1,
    max_size=8,
).filter(lambda word: word not in ("in", "notin"))
REQUIREMENTS = st.one_of(
    st.builds(Requirement, WORDS, st.sampled_from([Operator.EXISTS, Operator.ABSENT])),
    st.builds(
        Requirement,
        WORDS,
        st.sampled_from([Operator.IN, Operator.NOT_IN]),
        st.lists(WORDS, min_size=1, max_size=3).map(tuple),
    ),
)
TAGS = st.lists(st.tuples(WORDS, WORDS), max_size=4, unique_by=lambda pair: pair[0]).map(tuple)


def spelled(one: Requirement) -> str:
    """A requirement as a person would write it."""
    match one.operator:
        case Operator.EXISTS:
            return one.key
        case Operator.ABSENT:
            return f"!{one.key}"
        case _:
            return f"{one.key} {one.operator} ({', '.join(one.values)})"


@given(st.text(min_size=1), st.lists(st.text(), min_size=1, max_size=3), st.sampled_from("'\""))
def test_every_key_and_value_can_be_quoted(key: str, values: list[str], quote: str) -> None:
    """Inside quotes of either kind stands any text; a quote of that kind is doubled."""
    quoted = [f"{quote}{text.replace(quote, quote * 2)}{quote}" for text in (key, *values)]
    text = f"{quoted[0]} in ({','.join(quoted[1:])})"

    (found,) = selector.parse(text).requirements

    assert found == Requirement(key, Operator.IN, tuple(values))


@pytest.mark.parametrize(
    "text",
    ["owner='O''Brien'", 'owner="O\'Brien"', "owner in ('O''Brien', x)", "'owner'=\"O'Brien\""],
)
def test_an_apostrophe_can_be_selected(text: str) -> None:
    """A name with an apostrophe is a value like any other."""
    found = selector.parse(text)

    assert found.matches((("owner", "O'Brien"),))
    assert not found.matches((("owner", "O''Brien"),))


@pytest.mark.parametrize(
    "text, words, offset",
    [
        ("owner=O'Brien", "quote inside a word", 7),
        ("owner='O'Brien'", "quote", 9),
        ("a='b", "closed", 2),
    ],
)
def test_a_stray_quote_is_reported_with_its_place(text: str, words: str, offset: int) -> None:
    """An ambiguous text is refused."""
    with pytest.raises(SelectorError, match=words) as caught:
        selector.parse(text)

    assert caught.value.offset == offset


@given(st.lists(REQUIREMENTS, min_size=1, max_size=4))
def test_what_is_written_is_read(requirements: list[Requirement]) -> None:
    """Each requirement of a comma list arrives as it was meant."""
    text = ", ".join(spelled(one) for one in requirements)

    assert selector.parse(text).requirements == tuple(requirements)


@given(REQUIREMENTS, TAGS)
def test_a_requirement_and_its_opposite_part_the_fleet(one: Requirement, tags: Tags) -> None:
    """An instance meets exactly one of the two."""
    opposite = {
        Operator.IN: Operator.NOT_IN,
        Operator.NOT_IN: Operator.IN,
        Operator.EXISTS: Operator.ABSENT,
        Operator.ABSENT: Operator.EXISTS,
    }[one.operator]

    assert one.holds(tags) != Requirement(one.key, opposite, one.values).holds(tags)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    """Any text is a selector, or an error with a position inside the text."""
    offset = 0
    try:
        selector.parse(text)
    except SelectorError as error:
        offset = error.offset
    assert 0 <= offset <= len(text)


@pytest.mark.parametrize(
    "text,matches",
    [
        ("env=prod", True),
        ("env==prod", True),
        ("env = prod , tier in (web,api)", True),
        ("env!=prod", False),
        ("env!=dev", True),
        ("team!=x", True),
        ("tier in (api)", False),
        ("tier notin (api, db)", True),
        ("team notin (x)", True),
        ("env", True),
        ("!team", True),
        ("!env", False),
        ("env=prod,!env", False),
        ("'odd key'='a, b'", True),
        ("rollout/exclude", False),
    ],
)
def test_selectors_match_as_kubectl_does(text: str, *, matches: bool) -> None:
    """An absent key meets `!=` and `notin`; odd words stand in quotes."""
    tags = (("env", "prod"), ("tier", "web"), ("odd key", "a, b"))

    assert selector.parse(text).matches(tags) is matches


@pytest.mark.parametrize(
    "text,offset",
    [
        ("", 0),
        ("a=", 2),
        ("a,,b", 2),
        ("a in b", 5),
        ("a in (b", 7),
        ("a in ()", 6),
        ("a b", 2),
        ("=a", 0),
        ("a='b", 2),
        ("!", 1),
        ("a,", 2),
    ],
)
def test_an_error_names_its_offset(text: str, offset: int) -> None:
    """The caret of the error is at the first invalid character."""
    with pytest.raises(SelectorError) as caught:
        selector.parse(text)

    assert caught.value.offset == offset
