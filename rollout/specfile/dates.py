"""Fill in the dates in the name and in the public key file of a spec's key pair.

Called by `specfile` before the fields are validated, so that the filled-in values are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, tzinfo
from difflib import get_close_matches
from typing import Any, NamedTuple

from rollout.core.scheduling import key_names
from rollout.errors import Problem
from rollout.model.phrase import say
from rollout.model.plan import Warn
from rollout.model.time import Instant
from rollout.specfile import zones
from rollout.specfile.document import Document

_FIELDS = ("name", "publicKeyFile")
_KEY_PAIR = ("spec", "keyPair")


class DateFindings(NamedTuple):
    """What a user should know about the filled-in values."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Warn, ...] = ()


def render(found: Document, at: Instant) -> DateFindings:
    """Fill in the date of an instant, in the time zone of the schedule, by default UTC."""
    day, zone = _local_date(found, at)
    key, problems = _inner(found.data, *_KEY_PAIR), []
    texts = dict(_texts(key))
    for field, text in texts.items():
        try:
            key[field] = key_names.render(text, day)
        except key_names.UnknownPlaceholder as error:
            problems.append(_unknown(found, field, error))
            found.refused.add((*_KEY_PAIR, field))
    if not texts or problems:
        return DateFindings(tuple(problems))
    named = f"key pair {key.get('name')} with the public key in {key.get('publicKeyFile')}"
    return DateFindings(
        warnings=(
            Warn("R0360", 0, f"the dates in {_where(texts)} are those of {day} ({zone}): {named}"),
        )
    )


def _where(texts: Collection[str]) -> str:
    """Return in words which of the fields have dates."""
    if len(texts) > 1:
        return "the name and the path of the key pair"
    return "the name of the key pair" if "name" in texts else "the path of the public key"


def replace(found: Document, name: str) -> None:
    """Replace a name with dates by the name that a plan recorded; empty: by any valid name."""
    key = _inner(found.data, *_KEY_PAIR)
    for field, text in _texts(key):
        recorded = name if field == "name" and name else ""
        try:
            key[field] = recorded or key_names.render(text, date(2000, 1, 1))
        except key_names.UnknownPlaceholder:
            continue  # the field's own validation refuses it


def _texts(key: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for field in _FIELDS:
        text = key.get(field)
        if isinstance(text, str) and key_names.has_placeholder(text):
            yield field, text


def _unknown(found: Document, field: str, error: key_names.UnknownPlaceholder) -> Problem:
    known = ", ".join(f"{{{name}}}" for name in key_names.PLACEHOLDERS)
    close = get_close_matches(error.name, key_names.PLACEHOLDERS, n=1)
    hint = (
        say("did you mean `{{{suggestion}}}`?", suggestion=close[0])
        if close
        else say("known here: {names}", names=known)
    )
    place = found.at_value((*_KEY_PAIR, field), error.offset)
    return Problem("R0163", say("unknown placeholder `{{{name}}}`", name=error.name), place, hint)


def _local_date(found: Document, at: Instant) -> tuple[date, str]:
    name = _inner(found.data, "spec", "schedule").get("timeZone")
    known = isinstance(name, str) and name in zones.names()
    zone: tzinfo = zones.LocalZone(str(name)).tzinfo if known else UTC
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(zone).date(), str(zone)


def _inner(data: object, *keys: str) -> dict[str, Any]:
    """Return the mapping at a path, an empty one if there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}
