"""The queues on the way to an attach and a restart: what they hold, and how one leaves them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollout.core.running.evolve import evolve
from rollout.core.running.journey import Phase
from rollout.core.running.state import Run
from rollout.core.running.stations import Station
from rollout.core.running.waiting import Waiting
from rollout.model import event as ev
from rollout.model.site import Site
from rollout.sim.check.stations import misplaced
from tests.core import samples

SITE = Site(samples.ACCOUNT, samples.REGIONS[0])
BOTH = (0, 1)
WITHOUT_QUEUE = (Station.CALLING, Station.OBSERVING, Station.CONFIRMING)


def opened() -> Waiting:
    """The queues of a run of two instances whose cell was just opened, before any is filled."""
    run = Run.of(samples.make_plan(samples.fleet(2)))
    evolve(
        run, ev.RunStarted(ev.FORMAT_VERSION, "run-1", "", "", "", 1, samples.ACTOR, samples.NOW)
    )
    evolve(run, ev.WaveStarted(0, "all"))
    evolve(run, ev.CellOpened(0))
    return Waiting.of(run)


def place(waiting: Waiting, station: Station) -> None:
    """Bring both instances to a station."""
    watching = waiting.watching
    match station:
        case Station.QUEUED:
            waiting.queue(SITE, BOTH)
        case Station.CHECKING:
            place(waiting, Station.QUEUED)
            waiting.observation_started(SITE, BOTH)
        case Station.CHECKED:
            place(waiting, Station.CHECKING)
            waiting.add_checked(SITE, BOTH)
        case Station.SPLITTING:
            place(waiting, Station.CHECKED)
            waiting.call_started(BOTH)
            waiting.split(BOTH)
        case Station.DELAYED:
            waiting.delay(BOTH, samples.NOW, 1)
        case Station.MISSING:
            place(waiting, Station.CHECKING)
            for ordinal in BOTH:
                watching.confirm(ordinal)
        case Station.REFRESHING:
            place(waiting, Station.READY)
            waiting.observation_started(SITE, BOTH)
        case Station.PARKED:
            place(waiting, Station.READY)
            for ordinal in BOTH:
                waiting.park(ordinal, 0)
        case Station.PACED:
            place(waiting, Station.READY)
            for ordinal in BOTH:
                waiting.pace(ordinal, 0)
        case Station.BLOCKED:
            place(waiting, Station.QUEUED)
            for ordinal in BOTH:
                waiting.park(ordinal, 0)
        case _:
            for ordinal in BOTH:
                waiting.run.phases[ordinal] = Phase.ATTACHED
                PLACES[station](waiting, ordinal)


PLACES: dict[Station, Callable[[Waiting, int], None]] = {
    Station.WATCHED: lambda waiting, ordinal: waiting.watching.watch(ordinal, samples.NOW),
    Station.DUE: lambda waiting, ordinal: waiting.watching.observe_soon(ordinal),
    Station.READY: lambda waiting, ordinal: waiting.make_ready(ordinal, samples.NOW),
    Station.READY_LATER: lambda waiting, ordinal: waiting.ready_again(ordinal, samples.NOW),
    Station.PROBING: lambda waiting, ordinal: waiting.probe(ordinal, samples.NOW),
}


@pytest.mark.parametrize(
    "station",
    sorted({*Station} - {Station.NONE, *WITHOUT_QUEUE}),
    ids=lambda station: station.name.lower(),
)
def test_a_held_instance_leaves_every_queue(station: Station) -> None:
    """Wherever an instance waits, a hold takes it out; its neighbor stays where it is."""
    waiting = opened()
    waiting.run.ledger.reserve(1, Phase.PLANNED)
    place(waiting, station)
    assert not list(misplaced(waiting))
    assert {waiting.stations.at(ordinal) for ordinal in BOTH} == {station}

    evolve(waiting.run, ev.Held((0,), "test"))
    waiting.finish(0)

    assert not list(misplaced(waiting))
    assert waiting.stations.at(0) is Station.NONE
    assert waiting.stations.at(1) is station
    assert 0 not in waiting.permits.checking and 0 not in waiting.permits.refreshing


def test_an_instance_in_no_queue_is_reported() -> None:
    """The check that the simulator makes finds a station without its queue entry, and none."""
    waiting = opened()
    place(waiting, Station.QUEUED)
    waiting.queued[SITE].clear()

    assert list(misplaced(waiting)) == [
        "ordinal 0 is at QUEUED, but not in its queue",
        "ordinal 1 is at QUEUED, but not in its queue",
    ]
    waiting.stations.column[:] = bytes(2)
    assert next(misplaced(waiting)) == "ordinal 0 is planned and at no station"


def test_an_abort_empties_the_queues_before_the_attach() -> None:
    """After an abort no batch waits for its attach; instances that may be down are observed."""
    waiting = opened()
    place(waiting, Station.QUEUED)
    waiting.drop_attaches()

    assert not waiting.queued[SITE]
    assert waiting.stations.column == bytes(2)
