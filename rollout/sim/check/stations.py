"""Compare the station column of a decider with its queues and with the state of its run.

Called by the world after every step of a decider. Reads only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from rollout.core.running.journey import Phase
from rollout.core.running.stations import IN_FLIGHT, Station
from rollout.core.running.waiting import Waiting

_OBSERVED_NOW = IN_FLIGHT | {Station.CONFIRMING}
_NOT_BEGUN = frozenset({Phase.PLANNED, Phase.ATTACHED})


def misplaced(waiting: Waiting) -> Iterator[str]:
    """Yield what is wrong with the stations, as text; nothing while the run is stopping."""
    run, column = waiting.run, waiting.stations
    if run.stopping:
        return
    opened = run.layout.cells[run.cells_next - 1].end if run.cells_next else 0
    queued: dict[int, Station] = {}
    for station, ordinals in _queues(waiting):
        for ordinal in ordinals:
            if ordinal in queued:
                yield f"ordinal {ordinal} waits at {queued[ordinal].name} and at {station.name}"
            queued[ordinal] = station
    for ordinal in range(len(run.phases)):
        station = column.at(ordinal)
        phase = run.phase(ordinal)
        waits = ordinal < opened and not run.at_rest(ordinal)
        if station is Station.NONE:
            dropped = run.aborted is not None and phase in _NOT_BEGUN
            if waits and not dropped:
                yield f"ordinal {ordinal} is {phase.word} and at no station"
        elif not waits:
            yield f"ordinal {ordinal} is {phase.word}, waits for nothing, and is at {station.name}"
        elif station in _OBSERVED_NOW:
            if not waiting.watching.open[run.layout.site_of(ordinal)]:
                yield f"ordinal {ordinal} is at {station.name}, but no observation is open"
        elif queued.get(ordinal) is not station:
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
    yield Station.PARKED, flat(waiting.parked)
    yield Station.WATCHED, flat(watching.ticks.values())
    for issued in waiting.run.open_calls.values():
        yield Station.CALLING, getattr(issued.command, "ordinals", ())
