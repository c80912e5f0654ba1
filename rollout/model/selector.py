"""Tag selectors in kubectl's grammar: `env=prod, tier in (web,api), !rollout/exclude`.

Keys and values with other characters are quoted: `owner='O''Brien'` or `owner="O'Brien"`; a quote
inside quotes of its own kind is doubled.

A spec holds them parsed; `core.planning.selection` and the inventory sources match them.
"""

from __future__ import annotations

import enum
import re

import msgspec

from rollout.model.instance import Tags
from rollout.model.phrase import Phrase, say


class Operator(enum.StrEnum):
    """Comparison of a requirement."""

    IN = "in"
    NOT_IN = "notin"
    EXISTS = "exists"
    ABSENT = "absent"


class Requirement(msgspec.Struct, frozen=True):
    """One comma-separated part: all of them must hold."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, tags: Tags) -> bool:
        """Return whether the tags meet this requirement; an absent key meets `!=` and `notin`."""
        found = [value for key, value in tags if key == self.key]
        match self.operator:
            case Operator.EXISTS:
                return bool(found)
            case Operator.ABSENT:
                return not found
            case Operator.IN:
                return any(value in self.values for value in found)
            case Operator.NOT_IN:
                return all(value not in self.values for value in found)


class Selector(msgspec.Struct, frozen=True):
    """A conjunction of requirements, with its text."""

    text: str
    requirements: tuple[Requirement, ...]

    def matches(self, tags: Tags) -> bool:
        """Return whether every requirement holds."""
        return all(requirement.holds(tags) for requirement in self.requirements)


class SelectorError(ValueError):
    """The text is not a selector; `offset` is the position of the error, from 0."""

    def __init__(self, message: Phrase, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


_QUOTED = r"""'(?:[^']|'')*'|"(?:[^"]|"")*\""""
_WORD = r"""[^\s,()=!'"]+"""
_TOKEN = re.compile(
    rf"\s*(?:(?P<op>==|!=|=|!|,|\(|\))|(?P<quoted>{_QUOTED})|(?P<word>{_WORD}))", re.DOTALL
)


def parse(text: str) -> Selector:
    """Parse a selector. SelectorError with the offset of the first fault."""
    tokens = _tokens(text)
    requirements = []
    while True:
        requirements.append(_requirement(tokens))
        kind, word, offset = tokens.pop(0)
        if kind == "end":
            return Selector(text, tuple(requirements))
        if word != ",":
            raise SelectorError(say("expected a comma, found `{word}`", word=word), offset)


_Token = tuple[str, str, int]


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].strip()
            if rest[0] in "'\"":
                raise SelectorError(say("the quote {mark} is not closed", mark=rest[0]), position)
            raise SelectorError(say("cannot read `{text}`", text=rest[:20]), position)
        kind = match.lastgroup or ""
        word = match.group(kind)
        if kind == "quoted":
            word = word[1:-1].replace(word[0] * 2, word[0])
        tokens.append((kind, word, match.start(kind)))
        position = match.end()
        following = text[position : position + 1]
        if kind != "op" and following and not following.isspace() and following not in ",()=!":
            message = say("a quote inside a word: put the word into quotes of the other kind")
            raise SelectorError(message, position)
    return [*tokens, ("end", "", len(text))]


def _requirement(tokens: list[_Token]) -> Requirement:
    kind, word, offset = tokens.pop(0)
    if word == "!" and kind == "op":
        return Requirement(_word(tokens, say("a tag key after `!`")), Operator.ABSENT)
    if kind not in ("word", "quoted"):
        raise SelectorError(say("expected a tag key"), offset)
    next_kind, operator, _ = tokens[0]
    if next_kind == "op" and operator in ("=", "==", "!="):
        tokens.pop(0)
        value = _word(tokens, say("a value after `{operator}`", operator=operator))
        return Requirement(word, Operator.NOT_IN if operator == "!=" else Operator.IN, (value,))
    if next_kind == "word" and operator in ("in", "notin"):
        tokens.pop(0)
        return Requirement(word, Operator(operator), _values(tokens))
    return Requirement(word, Operator.EXISTS)


def _values(tokens: list[_Token]) -> tuple[str, ...]:
    _expect(tokens, "(")
    values = [_word(tokens, say("a value"))]
    while tokens[0][1] == ",":
        tokens.pop(0)
        values.append(_word(tokens, say("a value")))
    _expect(tokens, ")")
    return tuple(values)


def _word(tokens: list[_Token], wanted: Phrase) -> str:
    kind, word, offset = tokens.pop(0)
    if kind not in ("word", "quoted"):
        raise SelectorError(say("expected {wanted}", wanted=wanted), offset)
    return word


def _expect(tokens: list[_Token], wanted: str) -> None:
    _, word, offset = tokens.pop(0)
    if word != wanted:
        raise SelectorError(say("expected `{wanted}`", wanted=wanted), offset)
