"""English texts for people, kept with their values so that a front end can translate them.

Called by everything that words a message; a phrase knows no language but English.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias


class Catalogue(Protocol):
    """The translations of one language, with the methods of `gettext.NullTranslations`."""

    def gettext(self, message: str) -> str:
        """Return the translation, or the English text if there is none."""
        ...

    def ngettext(self, one: str, many: str, number: int) -> str:
        """Return the translation of the form for this number."""
        ...


class Phrase:
    """A text with named values, such as `no reply from {host}`. A value may be a phrase itself.

    `str` and f-strings give the English text. It is no `str` and no dataclass: a type checker and
    the JSON encoders refuse a phrase where plain text belongs, in journals, plans and documents.
    """

    __slots__ = ("_number", "_plural", "_template", "_values")

    def __init__(
        self, template: str, values: Mapping[str, object], plural: str = "", number: int = 1
    ) -> None:
        """Take the template, and for a text about a number the template for all but 1."""
        self._template = template
        self._values = values
        self._plural = plural
        self._number = number

    def __str__(self) -> str:
        return self._filled(self._plural if self._plural and self._number != 1 else self._template)

    def __repr__(self) -> str:
        return f"Phrase({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Phrase) and str(self) == str(other)

    def __hash__(self) -> int:
        return zlib.crc32(str(self).encode())  # the same in every process

    def translated(self, catalogue: Catalogue) -> str:
        """Return the text in the language of the catalogue, and so all phrases in its values."""
        if self._plural:
            template = catalogue.ngettext(self._template, self._plural, self._number)
        else:
            template = catalogue.gettext(self._template)
        return self._filled(template, catalogue)

    def _filled(self, template: str, catalogue: Catalogue | None = None) -> str:
        values = {
            name: value
            if catalogue is None or not isinstance(value, Phrase)
            else value.translated(catalogue)
            for name, value in self._values.items()
        }
        return template.format_map(values)


Wording: TypeAlias = str | Phrase


def say(template: str, /, **values: object) -> Phrase:
    """Return a phrase. The template is a literal, from which the catalogues are made."""
    return Phrase(template, values)


def say_many(one: str, many: str, number: int, /, **values: object) -> Phrase:
    """Return a phrase about a number of things; both templates may name it as `{number}`."""
    return Phrase(one, {"number": number, **values}, many, number)


def joined(parts: Sequence[Wording]) -> Wording:
    """Return several sentences as one text, separated by semicolons; empty if there are none."""
    if not parts:
        return ""
    return functools.reduce(
        lambda before, after: say("{before}; {after}", before=before, after=after), parts
    )
