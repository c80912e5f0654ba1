"""Translations: every text of the program is in each catalogue, translated and compiled."""

import ast
import gettext
import io
from string import Formatter

import pytest
from babel.messages.catalog import Catalog, Message

from rollout.cli import language
from tests import messages, tree

LOCALES = sorted(messages.catalogues())


@pytest.fixture(scope="module")
def found() -> dict[messages.Key, list[str]]:
    """Every text of the program."""
    return messages.texts()


def catalogue(locale: str) -> Catalog:
    """Return the catalogue of a locale."""
    return messages.read(messages.catalogues()[locale], locale)


def entries(locale: str) -> list[Message]:
    """Return the texts of a catalogue, without its head."""
    return [one for one in catalogue(locale) if one.id]


def names(template: str) -> list[tuple[str, str]]:
    """Return name and format of each placeholder, sorted."""
    return sorted((name, form or "") for _, name, form, _ in Formatter().parse(template) if name)


def test_each_language_but_english_has_a_catalogue() -> None:
    """Each language that `--lang` accepts is installed."""
    assert LOCALES == ["zh_CN"]
    assert [one for one in language.LANGUAGES if language.catalogue(one) is None] == ["en"]


@pytest.mark.parametrize("locale", LOCALES)
def test_no_message_is_missing(locale: str, found: dict[messages.Key, list[str]]) -> None:
    """The catalogue has the texts of the program, no others, and a translation of each."""
    assert {one.id for one in entries(locale)} == set(found), "run `make messages`"
    assert not [one.id for one in entries(locale) if one.fuzzy or not messages.is_translated(one)]


@pytest.mark.parametrize("locale", LOCALES)
def test_translations_have_the_placeholders_of_the_english_text(locale: str) -> None:
    """A translation names the same values in the same format; only a number may be left out."""
    templates = {
        one.id if isinstance(one.id, str) else one.id[-1]: messages.strings(one)
        for one in entries(locale)
    }
    marked = {text for key in messages.marked_texts() for text in messages.forms(key)}

    different = {
        english: each
        for english, translations in templates.items()
        for each in translations
        if english in marked and names(each) != names(english)
    }
    assert not different


@pytest.mark.parametrize("locale", LOCALES)
def test_translations_keep_what_is_typed(locale: str) -> None:
    """Commands, options and fields in backticks are the same in each language."""
    for one in entries(locale):
        english = one.id if isinstance(one.id, str) else one.id[-1]
        for each in messages.strings(one):
            assert sorted(each.split("`")[1::2]) == sorted(english.split("`")[1::2]), english


def translations(compiled: gettext.GNUTranslations) -> dict[object, str]:
    """Return the translations of a compiled catalogue, without its head."""
    return {key: text for key, text in vars(compiled)["_catalog"].items() if key}


@pytest.mark.parametrize("locale", LOCALES)
def test_catalogues_are_compiled(locale: str) -> None:
    """The compiled file in the package has the translations of the .po file."""
    path = messages.catalogues()[locale]
    assert messages.text_of(catalogue(locale)) == path.read_bytes(), "run `make messages`"

    with path.with_suffix(".mo").open("rb") as file:
        shipped = gettext.GNUTranslations(file)
    fresh = gettext.GNUTranslations(io.BytesIO(messages.compiled(catalogue(locale))))
    assert translations(shipped) == translations(fresh), "run `make messages`"


def test_marked_texts_are_literals() -> None:
    """`say` and its like take their templates as literals, which the catalogues are made from."""
    computed = [
        f"{path.relative_to(tree.ROOT)}:{call.lineno}"
        for path in tree.package_modules().values()
        for call in messages.calls(tree.parse(path))
        if not messages.literals(call)
    ]
    assert computed == PASSED_ON


PASSED_ON = [
    f"rollout/cli/language.py:{line}"
    for line, text in enumerate(
        (tree.ROOT / "rollout/cli/language.py").read_text("utf-8").splitlines(), 1
    )
    if "return translated(say" in text
]
"""The functions that pass their own templates on."""


def test_texts_for_people_are_phrases() -> None:
    """Errors with their fixes and notes, messages and questions can be translated, except commands
    to run.
    """
    plain = [
        f"{path.relative_to(tree.ROOT)}:{text.lineno} {ast.unparse(text)}"
        for path in tree.package_modules().values()
        for text in messages.plain_texts(tree.parse(path))
    ]
    assert not plain, "\n".join(plain)


def test_placeholders_are_words() -> None:
    """A placeholder has a name from which a translator understands its value."""
    for key in messages.marked_texts():
        for text in messages.forms(key):
            assert all(name.isidentifier() and len(name) > 1 for name, _ in names(text)), text
