"""Read the narrowing of a plan from the values of its options.

Called by `plan`. Reads the files that `@FILE` names, and the standard input for `@-`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rollout.core.planning.narrowing import Narrowing, Pattern
from rollout.errors import UsageError
from rollout.inventory import reading
from rollout.model import selector
from rollout.model.phrase import say
from rollout.model.spec import FileSource, Spec

_IDS = re.compile(r"[0-9a-z*?-]+")
STDIN = "@-"


def read(
    *,
    limit: Iterable[str] = (),
    exclude: Iterable[str] = (),
    wave: str | None = None,
    max_down: int | None = None,
) -> Narrowing:
    """Return the narrowing. A pattern is an id, a glob of ids, a tag selector, or `@FILE` or `@-`
    with one of these on each line.

    Errors: UsageError R0001 for a malformed value, R0002 if two options read the standard input;
    InventoryError R0200 for an unreadable file.
    """
    limits, excludes = tuple(limit), tuple(exclude)
    if (*limits, *excludes).count(STDIN) > 1:
        raise UsageError.of("R0002", say("`@-` is given twice, but there is one standard input"))
    if max_down is not None and max_down < 1:
        raise UsageError.of(
            "R0001", say("--max-down {number}: write a number from 1 on", number=max_down)
        )
    return Narrowing(
        tuple(_pattern("--limit", text) for text in limits),
        tuple(_pattern("--exclude", text) for text in excludes),
        wave or "",
        max_down or 0,
    )


def check_input(narrowing: Narrowing, spec: Spec) -> None:
    """Raise UsageError R0002 if an option and a source of the spec both read the standard input."""
    patterns = (*narrowing.limit, *narrowing.exclude)
    sources = [one for one in spec.inventory if isinstance(one, FileSource)]
    if any(one.typed == STDIN for one in patterns) and any(one.path == "-" for one in sources):
        message = say("an inventory source of the spec reads the standard input, and so does `@-`")
        raise UsageError.of("R0002", message, help=say("name a file: `@FILE`"))


def _pattern(option: str, typed: str) -> Pattern:
    if not typed.startswith("@"):
        return _parsed(typed, [(f"{option} {typed}", typed.strip())])
    parsed = _parsed(typed, _lines(option, typed))
    if parsed == Pattern(typed):
        raise UsageError.of(
            "R0017", say("{option} {typed}: no pattern in it", option=option, typed=typed)
        )
    return parsed


def _lines(option: str, typed: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a file with their places, without empty lines and `#` comments."""
    path = None if typed == STDIN else Path(typed[1:])
    with reading.opened(path, f"{option} {typed}") as found:
        text = found.text()
    for number, line in enumerate(text.splitlines(), start=1):
        pattern = line.strip()
        if pattern and not pattern.startswith("#"):
            yield f"{option} {typed}, line {number}", pattern


def _parsed(typed: str, lines: Iterable[tuple[str, str]]) -> Pattern:
    """Return the pattern of these lines. Only ids and globs may begin with `i-`, `*` or `?`."""
    instances, globs, selectors = set(), [], []
    for place, text in lines:
        if not text.startswith(("i-", "*", "?")):
            selectors.append(_selector(place, text))
        elif not _IDS.fullmatch(text):
            message = say(
                "{place}: `{text}` is not an instance id or a glob of ids", place=place, text=text
            )
            raise UsageError.of("R0001", message, help=say("write `i-…`, `i-bp1*` or `env=prod`"))
        elif "*" in text or "?" in text:
            globs.append(text)
        else:
            instances.add(text)
    return Pattern(typed, frozenset(instances), tuple(globs), tuple(selectors))


def _selector(place: str, text: str) -> selector.Selector:
    try:
        return selector.parse(text)
    except selector.SelectorError as error:
        cure = say("write an id `i-…`, a glob `i-bp1*` or a selector such as `env=prod`")
        raise UsageError.of(
            "R0001", say("{place}: {cause}", place=place, cause=error), help=cure
        ) from None
