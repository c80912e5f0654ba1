"""Change the record of a simulated run, so that it has a defect. Used by the planted defects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import msgspec

from rollout.emulator.messages import Request
from rollout.model.command import Attach, RestartCall
from rollout.model.event import AnyEvent, Issued
from rollout.model.observation import gather, spread
from rollout.sim.world.record import RunRecord
from rollout.sim.world.world import World

Plant = Callable[[World], None]


def retell(record: RunRecord, tell: Callable[[AnyEvent], Iterable[AnyEvent]]) -> None:
    """Put other events in the place of some."""
    record.lines = [
        (msgspec.structs.replace(line, body=tuple(one for e in line.body for one in tell(e))), end)
        for line, end in record.lines
    ]


def before_all(record: RunRecord, *events: AnyEvent) -> None:
    """Add events to the first line, after the start of the run."""
    (line, end), *rest = record.lines
    record.lines = [(msgspec.structs.replace(line, body=(*line.body, *events)), end), *rest]


def after_all(record: RunRecord, *events: AnyEvent) -> None:
    """Add events to the last line."""
    *rest, (line, end) = record.lines
    record.lines = [*rest, (msgspec.structs.replace(line, body=(*line.body, *events)), end)]


def journaled(record: RunRecord) -> Iterator[AnyEvent]:
    """Every event of the journal."""
    return (event for line, _ in record.lines for event in line.body)


def intent(record: RunRecord, kind: type[Attach | RestartCall]) -> Issued:
    """The first intent of a kind."""
    return next(
        e for e in journaled(record) if isinstance(e, Issued) and isinstance(e.command, kind)
    )


def change_intent(
    record: RunRecord,
    kind: type[Attach | RestartCall],
    change: Callable[[Issued], Issued],
) -> None:
    """Replace the first intent of a kind."""
    first = intent(record, kind)
    retell(record, lambda event: [change(first) if event is first else event])


def see(record: RunRecord, kind: type[Attach | RestartCall], **changes: object) -> None:
    """Replace the observation of the first intent of a kind."""

    def change(first: Issued) -> Issued:
        seen = [msgspec.structs.replace(one, **changes) for one in spread(first.observed)]
        return msgspec.structs.replace(first, observed=gather(seen))

    change_intent(record, kind, change)


def command(record: RunRecord, **changes: object) -> None:
    """Let the first attach name something else."""

    def change(first: Issued) -> Issued:
        return msgspec.structs.replace(
            first, command=msgspec.structs.replace(first.command, **changes)
        )

    change_intent(record, Attach, change)


def sent(record: RunRecord, **changes: object) -> None:
    """Let the first call have left otherwise."""
    record.sent[0] = dataclasses.replace(record.sent[0], **changes)  # type: ignore[arg-type]


def call(world: World, action: str, n: int, **params: str) -> None:
    """One more effect in the cloud, as if intent `n` had asked for it."""
    world.arrivals.deliver(Request(action, params), n, duplicate=False)


def restarted(record: RunRecord) -> tuple[int, str]:
    """Ordinal and id of the first target that was restarted."""
    first = intent(record, RestartCall).command
    assert isinstance(first, RestartCall)
    return first.ordinals[0], first.instances[0]


def in_cloud(record: RunRecord) -> int:
    """The cloud's own number of that target."""
    number = record.cloud.instances.find(restarted(record)[1])
    assert number is not None
    return number
