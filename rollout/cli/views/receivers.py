"""Format the receivers of a run's notifications as text or plain data. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rollout.cli import suggested
from rollout.cli.language import tr, tr_many
from rollout.cli.views import render
from rollout.model.notify import ReceiverState
from rollout.model.time import format_instant


class ReceiverFields(msgspec.Struct, frozen=True):
    """What a receiver got: messages delivered and waiting; failed tries of the next message, the
    last one at `failed_at` because of `cause`.
    """

    to: str
    delivered: int
    waiting: int
    tries: int
    failed_at: str | None
    cause: str


def lines(run: str, states: Sequence[ReceiverState], width: int) -> list[str]:
    """Return a line for each receiver, wrapped, with the command that sends what it lacks."""
    if not states:
        return [tr("{run} sends no notifications: its spec has no `notify`", run=run)]
    return [line for state in states for line in _lines(run, state, width)]


def status(run: str, states: Sequence[ReceiverState], width: int) -> list[str]:
    """Return the same for `status`; nothing without receivers."""
    return lines(run, states, width) if states else []


def data(run: str, states: Sequence[ReceiverState]) -> dict[str, Any]:
    """Return the receivers as plain data."""
    return {"format_version": "1.0", "run": run, "receivers": msgspec.to_builtins(rows(states))}


def rows(states: Sequence[ReceiverState]) -> list[ReceiverFields]:
    """Return one record for each receiver."""
    return [
        ReceiverFields(
            state.to,
            state.delivered,
            state.waiting,
            state.tries,
            format_instant(state.failed_at) if state.failed_at else None,
            state.cause,
        )
        for state in states
    ]


def _lines(run: str, state: ReceiverState, width: int) -> list[str]:
    text = tr_many(
        "notify: {to}: {number:,} message delivered",
        "notify: {to}: {number:,} messages delivered",
        state.delivered,
        to=state.to,
    )
    if state.waiting:
        text = tr("{text}, {number} waiting", text=text, number=state.waiting)
    if state.tries:
        text = tr_many(
            "{text}; {number} try failed, last at {time}: {cause}; {command}",
            "{text}; {number} tries failed, last at {time}: {cause}; {command}",
            state.tries,
            text=text,
            time=format_instant(state.failed_at),
            cause=state.cause,
            command=suggested.command("notify", run),
        )
    return render.wrap(text, width, first="  ", rest="    ")
