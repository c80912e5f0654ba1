"""Compare the station column of a decider with its queues and with the state of its run.

Called by the world after every step of a decider. Reads only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from rollout.core.running.journey import FINAL, Phase
from rollout.core.running.stations import IN_FLIGHT, Station
from rollout.core.running.waiting import Waiting

_OBSERVED_NOW = IN_FLIGHT | {Station.CONFIRMING}
_AT_REST = bytes(phase in FINAL or phase is Phase.COMPARING for phase in Phase)
_NOT_BEGUN = frozenset({Phase.PLANNED, Phase.ATTACHED})


def misplaced(waiting: Waiting) -> Iterator[str]:
    """Yield what is wrong with the stations, as text; nothing while the run is stopping."""
    run = waiting.run
    if run.stopping:
        return
    opened = run.layout.cells[run.cells_next - 1].end if run.cells_next else 0
    queued = bytearray(len(run.phases))
    for station, ordinals in _queues(waiting):
        for ordinal in ordinals:
            if before := queued[ordinal]:
                yield f"ordinal {ordinal} waits at {Station(before).name} and at {station.name}"
            queued[ordinal] = station
    columns = zip(waiting.stations.column, queued, run.phases, run.held, strict=True)
    for ordinal, (number, queue, phase, held) in enumerate(columns):
        waits = ordinal < opened and not held and not _AT_REST[phase]
        if (number != queue or not number) if waits else number:  # most are where they belong
            yield from _misplaced(waiting, ordinal, queue, waits=waits)


def _misplaced(waiting: Waiting, ordinal: int, queue: int, *, waits: bool) -> Iterator[str]:
    """Yield what is wrong with one instance that is in this queue, 0 for none."""
    run, station = waiting.run, waiting.stations.at(ordinal)
    phase = run.phase(ordinal)
    if station is Station.NONE:
        if run.aborted is None or phase not in _NOT_BEGUN:
            yield f"ordinal {ordinal} is {phase.label} and at no station"
    elif not waits:
        yield f"ordinal {ordinal} is {phase.label}, waits for nothing, and is at {station.name}"
    elif station in _OBSERVED_NOW:
        if not waiting.watching.open[run.layout.site_of(ordinal)]:
            yield f"ordinal {ordinal} is at {station.name}, but no observation is open"
    elif queue != station:
        yield f"ordinal {ordinal} is at {station.name}, but not in its queue"


def _queues(waiting: Waiting) -> Iterator[tuple[Station, Iterable[int]]]:
    """Yield each queue with the station of its members."""
    watching = waiting.watching
    flat = itertools.chain.from_iterable
    for site in waiting.run.layout.sites:
        yield Station.QUEUED, flat(waiting.queued[site])
        yield Station.CHECKED, flat(waiting.checked[site])
        yield Station.READY, flat(waiting.ready[site].values())
        yield Station.DUE, watching.due[site]
        yield Station.MISSING, watching.missing[site]
    yield Station.DELAYED, flat(batch for _, _, batch in waiting.delayed)
    yield Station.SPLITTING, flat(waiting.splitting)
    yield Station.READY_LATER, (ordinal for _, ordinal in waiting.ready_later)
    yield Station.PARKED, flat(waiting.permits.parked.values())
    yield Station.PARKED, flat(waiting.permits.overtaken.values())
    yield Station.PACED, flat(waiting.permits.paced.values())
    yield Station.BLOCKED, flat(waiting.permits.blocked.values())
    yield Station.DELAYED, flat(waiting.permits.unblocked.values())
    yield Station.WATCHED, flat(watching.ticks.values())
    yield Station.PROBING, (*watching.logins.due, *watching.logins.open)
    yield Station.PROBING, (ordinal for _, ordinal in watching.logins.later)
    for issued in waiting.run.open_calls.values():
        yield Station.CALLING, getattr(issued.command, "ordinals", ())
