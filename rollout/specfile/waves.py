"""Rules about the waves of a spec: unique names, `rest` only at the end, and no gate there unless
the targets of `last` follow.

Called by `specfile.load` with the document, so that these problems are reported even if one wave
is invalid. `models` checks each wave on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rollout.errors import Problem
from rollout.model.phrase import say
from rollout.specfile.document import Document

_WAVES = ("spec", "waves")


def problems(document: Document) -> Iterator[Problem]:
    """Yield the contradictions between waves, each with its place."""
    spec = document.data.get("spec") if isinstance(document.data, dict) else None
    if not isinstance(spec, dict):
        return
    waves, followed = spec.get("waves"), bool(spec.get("last"))
    if spec.get("gates") and not followed:
        yield from _unasked(document, waves)
    if not isinstance(waves, list):
        return
    names: set[object] = set()
    for index, wave in enumerate(waves):
        if not isinstance(wave, dict):
            continue
        name = wave.get("name")
        if isinstance(name, str) and name in names:
            message = say("two waves are called `{name}`", name=name)
            place = document.at_value((*_WAVES, index, "name"))
            yield Problem("R0115", message, place, say("give each wave a unique name"))
        names.add(name if isinstance(name, str) else None)
        yield from _rest(document, index, wave, last=index == len(waves) - 1)
    if waves and isinstance(waves[-1], dict) and not followed:
        yield from _gate(document, len(waves) - 1, waves[-1])


def _unasked(document: Document, waves: object) -> Iterator[Problem]:
    """Yield the problem of gates that no wave asks."""
    before = waves[:-1] if isinstance(waves, list) else []
    if any(not isinstance(wave, dict) or wave.get("gate", "auto") == "auto" for wave in before):
        return
    hint = say("add a wave before the last one, with `gate: auto`, or remove `gates`")
    place = document.at_key(("spec", "gates"))
    yield Problem("R0135", say("no wave asks these gates"), place, hint)


def _gate(document: Document, index: int, wave: dict[str, Any]) -> Iterator[Problem]:
    """Yield the problems of a last wave that has a bake or a gate."""
    for field in ("bake", "gate"):
        if field in wave:
            message = say("the last wave has a `{field}`, but no wave follows it", field=field)
            place = document.at_value((*_WAVES, index, field))
            yield Problem("R0120", message, place, say("remove `{field}`", field=field))


def _rest(document: Document, index: int, wave: dict[str, Any], *, last: bool) -> Iterator[Problem]:
    """Yield the problem of a wave that is `rest` but not the last, or the reverse."""
    size = wave.get("size")
    if size is None or (size == "rest") is last:
        return
    message = (
        say("the last wave must be `rest`") if last else say("only the last wave may be `rest`")
    )
    hint = (
        say("otherwise some targets would never be rotated")
        if last
        else say("write a count or a share")
    )
    yield Problem("R0115", message, document.at_value((*_WAVES, index, "size")), hint)
