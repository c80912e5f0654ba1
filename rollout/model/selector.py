"""Tag selectors in kubectl's grammar: `env=prod, tier in (web,api), !rollout/exclude`.

A spec holds them parsed; `core.selection` and the inventory sources match them.
"""

from __future__ import annotations

import enum
import re

import msgspec

from rollout.model.instance import Tags


class Operator(enum.StrEnum):
    """How one requirement compares."""

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
        """True where the tags meet this requirement; an absent key meets `!=` and `notin`."""
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
    """A conjunction of requirements, with the text it was written as."""

    text: str
    requirements: tuple[Requirement, ...]

    def matches(self, tags: Tags) -> bool:
        """True where every requirement holds."""
        return all(requirement.holds(tags) for requirement in self.requirements)


class SelectorError(ValueError):
    """The text is not a selector; `offset` says where, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


_WORD = r"'(?:[^']*)'|[^\s,()=!']+"
_TOKEN = re.compile(rf"\s*(?:(?P<op>==|!=|=|!|,|\(|\))|(?P<word>{_WORD}))")


def parse(text: str) -> Selector:
    """A selector from its text. SelectorError with the offset of the first fault."""
    tokens = _tokens(text)
    requirements = []
    while True:
        requirements.append(_requirement(tokens))
        kind, word, offset = tokens.pop(0)
        if kind == "end":
            return Selector(text, tuple(requirements))
        if word != ",":
            message = f"expected a comma, found `{word}`"
            raise SelectorError(message, offset)


_Token = tuple[str, str, int]


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            message = f"cannot read `{text[position:].strip()[:20]}`"
            raise SelectorError(message, position)
        kind = match.lastgroup or ""
        word = match.group(kind)
        tokens.append((kind, word.strip("'") if kind == "word" else word, match.start(kind)))
        position = match.end()
    return [*tokens, ("end", "", len(text))]


def _requirement(tokens: list[_Token]) -> Requirement:
    kind, word, offset = tokens.pop(0)
    if word == "!" and kind == "op":
        return Requirement(_word(tokens, "a tag key after `!`"), Operator.ABSENT)
    if kind != "word":
        message = "expected a tag key"
        raise SelectorError(message, offset)
    next_kind, operator, _ = tokens[0]
    if next_kind == "op" and operator in ("=", "==", "!="):
        tokens.pop(0)
        value = _word(tokens, f"a value after `{operator}`")
        return Requirement(word, Operator.NOT_IN if operator == "!=" else Operator.IN, (value,))
    if next_kind == "word" and operator in ("in", "notin"):
        tokens.pop(0)
        return Requirement(word, Operator(operator), _values(tokens))
    return Requirement(word, Operator.EXISTS)


def _values(tokens: list[_Token]) -> tuple[str, ...]:
    _expect(tokens, "(")
    values = [_word(tokens, "a value")]
    while tokens[0][1] == ",":
        tokens.pop(0)
        values.append(_word(tokens, "a value"))
    _expect(tokens, ")")
    return tuple(values)


def _word(tokens: list[_Token], wanted: str) -> str:
    kind, word, offset = tokens.pop(0)
    if kind != "word":
        message = f"expected {wanted}"
        raise SelectorError(message, offset)
    return word


def _expect(tokens: list[_Token], wanted: str) -> None:
    _, word, offset = tokens.pop(0)
    if word != wanted:
        message = f"expected `{wanted}`"
        raise SelectorError(message, offset)
