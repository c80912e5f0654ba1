"""Parse YAML to plain values, with the place of each key and value and the problems of the YAML.

Called by `specfile.load`. It knows YAML, but not the fields of a spec.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode
from ruamel.yaml.reader import ReaderError

from rollout.errors import Place, Problem
from rollout.model.phrase import Phrase, say
from rollout.model.text import is_text

Path = tuple[str | int, ...]
"""Keys and indices from the top of the document."""

NODES_MAX = 100_000
"""Maximum values of a spec with expanded aliases. A spec of 5 MB has fewer, a YAML bomb more."""
NESTING_MAX = 32
"""Maximum nesting. The fields of a spec are 6 levels deep."""

_HALF = say("half of a surrogate pair: the text was cut inside a character")
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = (_TAG + "str", _TAG + "timestamp")
_SCALAR_TAGS = (_TAG + "null", _TAG + "bool", _TAG + "int", _TAG + "float")
_CONTAINER_TAGS = (_TAG + "map", _TAG + "seq")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # line breaks for ruamel
_ODD_BREAK = re.compile("[\x85\u2028\u2029]")
"""Line breaks for ruamel, but not for YAML 1.2 or an editor: a comment would end there."""
_DIRECTIVE = re.compile(r"^%.*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Position:
    """Position of a key or value: line and column from 0, and its width on that line."""

    line: int
    column: int
    width: int
    quoted: bool = False


@dataclass(slots=True)
class Document:
    """The values of a file with their positions.

    `problems` are the problems of the YAML. Values at the paths in `refused` are None.
    """

    file: str
    text: str
    data: Any = None
    problems: list[Problem] = field(default_factory=list)
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    refused: set[Path] = field(default_factory=set)

    def at_value(self, path: Path, offset: int = 0) -> Place:
        """Return the place `offset` characters into a value, or of the nearest value around it."""
        position = _nearest(self.values, path)
        return self._place(position, offset + position.quoted if offset else 0)

    def at_key(self, path: Path) -> Place:
        """Return the place of a key, or of the nearest key around it."""
        return self._place(_nearest(self.keys, path))

    def at(self, line: int, column: int, width: int = 1) -> Place:
        """Return the place of a line and column, both from 0."""
        return self._place(Position(line, column, width))

    def _place(self, position: Position, offset: int = 0) -> Place:
        text = self.lines[position.line] if position.line < len(self.lines) else ""
        width = 1 if offset else position.width
        return Place(self.file, position.line + 1, position.column + offset + 1, text, width)


def parse(file: str, text: str) -> Document:
    """Return the YAML 1.2 document in a text, with the problems of the YAML.

    Refused: syntax errors, directives, a second document, tags, duplicate keys, keys that are not
    text, alias bombs and deep nesting. `data` is None if the text cannot be parsed.
    """
    document = Document(file, text, lines=_BREAK.split(text))
    directive = _DIRECTIVE.search(text)
    if directive is not None:
        line = len(_BREAK.findall(text, 0, directive.start()))
        problem = Problem(
            "R0111", say("a spec may not contain directives"), document.at(line, 0, 1)
        )
        document.problems.append(problem)
        return document
    odd = _ODD_BREAK.search(text)
    if odd is not None:
        before = _BREAK.split(text[: odd.start()])
        message = say(
            "a raw U+{code:04X} is not allowed: it is an invisible line break",
            code=ord(odd.group()),
        )
        place = document.at(len(before) - 1, len(before[-1]))
        hint = say("remove it; inside double quotes it can be written as an escape")
        document.problems.append(Problem("R0101", message, place, hint))
        return document
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, RecursionError) as error:
        document.problems.append(_syntax(document, error))
        return document
    if node is not None:
        document.data = _Reader(document).read(node, ())
    return document


def _nearest(positions: dict[Path, Position], path: Path) -> Position:
    """Return the position of the path, or of its longest prefix with a position."""
    for length in range(len(path), -1, -1):
        if (position := positions.get(path[:length])) is not None:
            return position
    return Position(0, 0, 1)


def _syntax(document: Document, error: YAMLError | RecursionError) -> Problem:
    if isinstance(error, RecursionError):
        return Problem("R0101", say("nested too deeply"), document.at(0, 0))
    if isinstance(error, ReaderError):
        before = document.text[: error.position]
        line = len(_BREAK.findall(before))
        place = document.at(line, len(_BREAK.split(before)[-1]))
        return Problem("R0101", say("a character that YAML does not allow"), place)
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return Problem("R0101", say("not YAML"), document.at(0, 0))
    is_cut = "end" in (error.problem or "").split("found")[-1]
    mark = (is_cut and error.context_mark) or error.problem_mark
    place = document.at(mark.line, mark.column)
    if error.problem == "but found another document":
        return Problem(
            "R0111", say("a second document in the file"), place, say("write one spec per file")
        )
    text = " ".join(part for part in (error.context, error.problem) if part)
    hint = say("indent with spaces, not tabs") if "'\\t'" in text else None
    return Problem("R0101", text.replace("\n", " "), place, hint)


class _Reader:
    """Converts nodes to values, and adds positions and problems to the document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._scalars = YAML(typ="safe", pure=True).constructor
        self._left = NODES_MAX

    def read(self, node: Node, path: Path) -> Any:
        """Return the value of a node, or None if it is refused."""
        position = _position(node)
        if position.width:  # a value that is not written has no position, but its key has one
            self._document.values[path] = position
            self._document.keys.setdefault(path, position)
        self._left -= 1
        if self._left < 0:
            return self._refuse(
                say("aliases expand the spec to more values than its limit"), node, path
            )
        if len(path) > NESTING_MAX:
            return self._refuse(say("nested too deeply, or an alias of itself"), node, path)
        if node.tag not in (*_TEXT_TAGS, *_SCALAR_TAGS, *_CONTAINER_TAGS):
            return self._refuse(
                say("a spec may not contain tags such as `{tag}`", tag=node.tag), node, path
            )
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        if not is_text(node.value):
            return self._refuse(_HALF, node, path, "R0105")
        if node.tag in _TEXT_TAGS:
            return node.value
        try:
            return self._scalars.construct_object(node)
        except (YAMLError, ValueError):
            kind = str(node.tag).removeprefix(_TAG)
            return self._refuse(
                say("`{value}` is not of type {kind}", value=node.value, kind=kind),
                node,
                path,
                "R0105",
            )

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key_node, ScalarNode):
                self._report("R0105", say("a field name must be plain text"), key_node)
            elif not is_text(key):
                self._report("R0105", _HALF, key_node)
            elif key_node.tag not in (*_TEXT_TAGS, *_SCALAR_TAGS):
                merged = key_node.tag == _TAG + "merge"
                message = say("a spec may not contain tags")
                message = say("a spec may not contain merge keys") if merged else message
                self._report("R0111", message, key_node)
            elif key in mapping:
                first = self._document.keys[*path, key].line + 1
                hint = say("the first one is on line {line}", line=first)
                message = say("`{field}` appears a second time", field=key)
                self._report("R0101", message, key_node, hint)
            else:
                self._document.keys[*path, key] = _position(key_node)
                self._document.values[*path, key] = _position(key_node)
                mapping[key] = self.read(value_node, (*path, key))
        return mapping

    def _refuse(self, message: Phrase, node: Node, path: Path, code: str = "R0111") -> None:
        """Report the value at `path`, once although aliases would repeat it."""
        self._document.refused.add(path)
        if self._left >= -1:
            self._report(code, message, node)

    def _report(self, code: str, message: Phrase, node: Node, hint: Phrase | None = None) -> None:
        position = _position(node)
        place = self._document.at(position.line, position.column, position.width)
        self._document.problems.append(Problem(code, message, place, hint))


def _position(node: Node) -> Position:
    start, end = node.start_mark, node.end_mark
    one_line = isinstance(node, ScalarNode) and start.line == end.line
    quoted = isinstance(node, ScalarNode) and node.style in ("'", '"')
    return Position(start.line, start.column, end.column - start.column if one_line else 1, quoted)
