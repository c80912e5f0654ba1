"""Rules between the waves of a spec: names, and where `rest` stands.

Called by `specfile.load` with the document, so that all faults are told even where a wave by
itself is wrong. What one wave may be is checked by `models`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rollout.errors import Problem
from rollout.specfile.document import Document

_WAVES = ("spec", "waves")


def problems(document: Document) -> Iterator[Problem]:
    """All contradictions between waves, each at its place."""
    spec = document.data.get("spec") if isinstance(document.data, dict) else None
    waves = spec.get("waves") if isinstance(spec, dict) else None
    if not isinstance(waves, list):
        return
    names: set[object] = set()
    for index, wave in enumerate(waves):
        if not isinstance(wave, dict):
            continue
        name = wave.get("name")
        if isinstance(name, str) and name in names:
            message = f"two waves are called `{name}`"
            place = document.at_value((*_WAVES, index, "name"))
            yield Problem("R0115", message, place, "give each wave a unique name")
        names.add(name if isinstance(name, str) else None)
        yield from _rest(document, index, wave, last=index == len(waves) - 1)


def _rest(document: Document, index: int, wave: dict[str, Any], *, last: bool) -> Iterator[Problem]:
    """The fault of a wave that is `rest` and not the last, or the reverse."""
    size = wave.get("size")
    if size is None or (size == "rest") is last:
        return
    message = "the last wave is `rest`" if last else "only the last wave is `rest`"
    hint = "otherwise some targets would never be rotated" if last else "write a count or share"
    yield Problem("R0115", message, document.at_value((*_WAVES, index, "size")), hint)
