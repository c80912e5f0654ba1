"""Docs, messages and docstrings use plain technical English.

The table contains only words that have no legitimate use. Reviewers judge all others.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests import tree

WORDS = {
    r"pretend\w*": "emulated, simulated",
    r"li(?:ve|ves|ved|ving) (?:\w+ ){0,3}through": "simulate",
    r"glimpse\w*": "observation",
    r"sights?": "observation",
    r"look(?:s|ed|ing)?(?! up| for)": "observe, observation",
    r"hear[sd]?": "receive",
    r"tells?|told|telling": "report, message",
    r"(?:other|foreign|strange) hands?": "other operators, external changes",
    r"nobody is there": "the input is not interactive",
    r"agenda": "waiting queues, watch list",
    r"happenings?": "trigger",
    r"befall\w*|fates?": "fault, inject",
    r"lessons?": "estimates",
    r"desks?": "front end",
    r"story|stories": "scenario, fixture",
    r"anew|once more|over again": "again",
    r"by the letter": "strictly",
    r"besides?": "next to, in addition to",
    r"(?:go|goes|went|gone|going) on(?:ce)?": "continue, resume",
    r"com(?:e|es|ing) to (?:its|an|the|their) end": "finish, complete",
    r"let in": "installs",
    r"mend(?:s|ed|ing)?": "fix",
    r"for ?ever": "permanently",
    r"letters": "characters",
    r"alike": "the same, similar",
    r"beyond": "after, more than",
    r"sisters?|brothers?": "the related actions by name",
    r"colou?rful|whims?": "(delete)",
}
QUOTED = ("rollout/ecs/contract/errors.py",)
"""Files with texts of the service, which are kept unchanged."""
BANNED = re.compile(r"(?<![\w-])(?:" + "|".join(WORDS) + r")(?![\w-])", re.IGNORECASE)


def test_documents_use_standard_terms() -> None:
    """README, docs and changelog contain no banned word."""
    found = [
        f"{name}:{number}: {word}"
        for name, text in tree.tracked_texts()
        if name.endswith(".md")
        for number, line in enumerate(text.splitlines(), 1)
        for word in banned_in(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", ["rollout", "tests", "benchmarks"])
def test_code_uses_standard_terms(folder: str) -> None:
    """Docstrings, comments and messages contain no banned word."""
    found = [
        f"{name}:{number}: {word}"
        for name, text in tree.tracked_texts()
        if name.startswith(f"{folder}/") and name.endswith(".py") and not name.startswith(QUOTED)
        for number, prose in prose_of(text, strings=folder == "rollout")
        for word in banned_in(prose)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["the pretend cloud", "It looks again.", "gone on with", "Told of it", "for ever"]
)
def test_a_banned_word_is_found(text: str) -> None:
    """The pattern finds whole words in any case."""
    assert list(banned_in(text))


@pytest.mark.parametrize("text", ["look up the code", "look for it", "outlook", "foretold-x"])
def test_a_standard_term_is_allowed(text: str) -> None:
    """Standard terms that contain a banned word pass."""
    assert not list(banned_in(text))


def banned_in(text: str) -> Iterator[str]:
    """Yield each banned word of a text."""
    yield from (match.group() for match in BANNED.finditer(text))


def prose_of(source: str, *, strings: bool) -> Iterator[tuple[int, str]]:
    """Yield line number and text of docstrings and comments, and with `strings` of other texts."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", [])
        if isinstance(body, list):
            for statement in body:
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                    yield from _lines(statement.value)
        if strings and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _lines(node)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _lines(constant: ast.Constant) -> Iterator[tuple[int, str]]:
    if isinstance(constant.value, str) and " " in constant.value:
        yield from enumerate(constant.value.splitlines(), constant.lineno)
