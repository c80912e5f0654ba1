"""Permits: all or none, given back only by evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.core.invariant import Bug
from rollout.core.running.journey import Phase
from rollout.core.running.layout import Layout
from rollout.core.running.ledger import CLOSE_CAP, Ledger
from rollout.model.instance import Status
from rollout.model.plan import Group, RestartKind
from tests.core import samples


def ledger(size: int, *caps: int, exposed_max: int = 100, stopped: bool = False) -> Ledger:
    """A ledger over similar instances that are all members of every group."""
    status = Status.STOPPED if stopped else Status.RUNNING
    plan = samples.make_plan(samples.fleet(size, status=status))
    groups = [Group("fleet", n, cap, size, 0) for n, cap in enumerate(caps)]
    layout = Layout(plan)
    everyone = tuple(range(len(caps)))
    layout.targets = [msgspec.structs.replace(one, groups=everyone) for one in layout.targets]
    return Ledger.of(layout, groups, exposed_max)


def left(book: Ledger) -> Callable[[int], int]:
    """The permits left, by group."""
    return lambda group: book.caps[group] - book.used[group]


def attachable(book: Ledger, ordinals: Sequence[int], checking: list[int], exposing: int) -> int:
    """How many may be attached: the first of them."""
    attached, blocked = book.attachable(ordinals, checking, exposing, left(book))
    assert not blocked and attached == list(ordinals[: len(attached)])
    return len(attached)


def expose(book: Ledger, *ordinals: int) -> None:
    """These are attached."""
    for ordinal in ordinals:
        book.moved(ordinal, Phase.PLANNED, Phase.ATTACHED)


def test_a_reservation_is_in_every_group_or_in_none() -> None:
    """Where one group is full the restart may not begin, and `reserve` is a defect."""
    book = ledger(3, 2, 1)
    book.reserve(0, Phase.PLANNED)

    assert book.used == [1, 1] and [left(book)(group) for group in (0, 1)] == [1, 0]
    assert book.full_group(1, RestartKind.REBOOT, left(book)) == 1
    with pytest.raises(Bug, match="I-31"):
        book.reserve(1, Phase.PLANNED)


def test_reserving_and_releasing_twice_count_once() -> None:
    """An instance has at most one permit a group."""
    book = ledger(2, 2)
    book.reserve(0, Phase.PLANNED)
    book.reserve(0, Phase.PLANNED)
    assert book.used == [1]
    book.release(0, Phase.DONE)
    book.release(0, Phase.DONE)

    assert book.used == [0]


def test_a_start_needs_no_permit() -> None:
    """A stopped instance cannot go down: full groups do not stop its start."""
    book = ledger(2, 1, stopped=True)
    book.reserve(0, Phase.PLANNED)

    assert book.full_group(1, RestartKind.START, left(book)) is None
    assert not book.reserves_early(1)
    assert attachable(book, [1], [0], 0) == 1


def test_a_kept_permit_is_used_and_named() -> None:
    """A held instance keeps its permit; what needs it has no hope and learns who holds it."""
    book = ledger(2, 1)
    book.reserve(0, Phase.ATTACHED)
    assert book.blocked_by(1) is None
    book.suspend(0, Phase.IN_DOUBT)

    assert (book.used, book.kept, book.blocked_by(1)) == ([1], [1], 0)
    book.take_back(0, Phase.IN_DOUBT)
    assert (book.used, book.kept, book.blocked_by(1)) == ([1], [0], None)


def test_a_released_permit_is_no_longer_kept() -> None:
    """Evidence gives back also what was kept."""
    book = ledger(2, 1)
    book.reserve(0, Phase.ATTACHED)
    book.suspend(0, Phase.IN_DOUBT)
    book.release(0, Phase.DONE)

    assert (book.used, book.kept) == ([0], [0])


def test_attaching_runs_ahead_by_no_more_than_can_come_free() -> None:
    """With a cap of 5 of which 2 are kept, three may be attached and wait."""
    book = ledger(10, 5)
    for ordinal in (0, 1):
        book.reserve(ordinal, Phase.PLANNED)
        book.suspend(ordinal, Phase.IN_DOUBT)

    assert attachable(book, range(2, 10), [0], 0) == 3
    expose(book, 2, 3)
    assert attachable(book, range(4, 5), [0], 0) == 1


def test_a_close_group_attaches_only_what_a_permit_is_free_for() -> None:
    """With a cap below 4 used permits are counted too, not only kept ones."""
    book = ledger(10, 3)
    book.reserve(0, Phase.PLANNED)

    assert attachable(book, range(1, 10), [1], 0) == 1


def test_exposure_bounds_the_attaches() -> None:
    """Exposed and those on their way together never pass the limit."""
    book = ledger(10, 10, exposed_max=4)
    expose(book, 0, 1)

    assert attachable(book, range(2, 3), [0], 1) == 1
    assert attachable(book, range(2, 3), [0], 2) == 0


def test_a_part_of_a_batch_is_attached_only_where_little_is_ahead() -> None:
    """A call for a few waits until the whole batch fits, unless permits would be idle meanwhile."""
    book = ledger(30, 10)
    assert attachable(book, range(30), [0], 0) == 10

    expose(book, *range(5))
    assert attachable(book, range(5, 30), [0], 0) == 0
    assert attachable(book, range(5, 10), [0], 0) == 5

    book.reserve(0, Phase.ATTACHED)
    assert attachable(book, range(5, 30), [0], 0) == 6


def test_a_part_waits_for_exposure_too() -> None:
    """What is exposed and not suspended comes back; what is suspended is not waited for."""
    book = ledger(30, 30, exposed_max=10)
    expose(book, *range(5))
    assert attachable(book, range(5, 30), [0], 0) == 0

    for ordinal in range(4):
        book.suspend(ordinal, Phase.ATTACHED)
    assert attachable(book, range(5, 30), [0], 0) == 5


def test_only_a_cap_of_one_is_reserved_before_the_attach() -> None:
    """Where instances go one by one, the next is attached when its permit is its own; a start
    takes no permit at all."""
    assert ledger(2, 5, 1).reserves_early(0)
    assert not ledger(2, 2, 5).reserves_early(0)
    assert not ledger(2, 1, stopped=True).reserves_early(0)


def test_a_batch_waits_in_a_group_that_is_just_not_close() -> None:
    """From a cap of 4 on a part of a batch waits while half of what may be ahead is, and who is
    being checked counts as ahead."""
    book = ledger(10, CLOSE_CAP)
    expose(book, 0)
    assert attachable(book, range(1, 10), [0], 0) == CLOSE_CAP - 1
    assert attachable(book, range(1, 10), [1], 0) == 0
    expose(book, 1)
    assert attachable(book, range(2, 10), [0], 0) == 0


def test_from_a_cap_of_four_on_only_kept_permits_count() -> None:
    """A used permit comes free again, so attaching may run ahead of it; below 4 it may not."""
    for cap, ahead in ((CLOSE_CAP, CLOSE_CAP), (CLOSE_CAP - 1, CLOSE_CAP - 2)):
        book = ledger(10, cap)
        book.reserve(0, Phase.PLANNED)

        assert attachable(book, range(1, 10), [0], 0) == ahead


@pytest.mark.parametrize(
    "exposed, suspended, exposing, attached",
    [(4, 0, 0, 6), (5, 0, 0, 0), (2, 0, 3, 0), (2, 0, 2, 6), (7, 4, 0, 0), (6, 4, 0, 4)],
)
def test_a_part_is_attached_while_less_than_half_of_exposure_is_busy(
    exposed: int, suspended: int, exposing: int, attached: int
) -> None:
    """Suspended instances count neither as busy nor as room."""
    book = ledger(30, 30, exposed_max=10)
    expose(book, *range(exposed))
    for ordinal in range(suspended):
        book.suspend(ordinal, Phase.ATTACHED)

    assert attachable(book, range(exposed, 30), [0], exposing) == attached


def test_what_was_set_aside_counts_again_after_it_moved() -> None:
    """An instance is set aside until its restart is tried again, not for the rest of the run."""
    book = ledger(10, 5)
    expose(book, 0)
    book.postpone(0)
    assert book.ahead == [0]
    book.moved(0, Phase.ATTACHED, Phase.RESTARTING)
    book.moved(0, Phase.RESTARTING, Phase.ATTACHED)

    assert book.ahead == [1]


def test_shelved_exposure_that_ends_is_no_longer_kept() -> None:
    """Each suspended instance that is no longer exposed makes room for one attach."""
    book = ledger(10, 10, exposed_max=3)
    expose(book, 0, 1, 2)
    for ordinal in (0, 1, 2):
        book.suspend(ordinal, Phase.ATTACHED)
    assert book.exposed_kept == 3
    for left, ordinal in ((2, 0), (1, 1), (0, 2)):
        book.moved(ordinal, Phase.ATTACHED, Phase.SKIPPED)

        assert (book.exposed, book.exposed_kept) == (left, left)


def test_exposure_that_nobody_ends_is_blocked_by() -> None:
    """Held exposed instances fill exposure for good; taken up again there is hope."""
    book = ledger(10, 10, exposed_max=1)
    expose(book, 3)
    assert book.blocked_by(4) is None
    book.suspend(3, Phase.ATTACHED)

    assert book.blocked_by(4) == 3
    book.take_back(3, Phase.ATTACHED)
    assert book.blocked_by(4) is None


def test_a_cap_of_zero_has_no_holder() -> None:
    """Where nobody may be down there is no hope and nobody to name."""
    assert ledger(2, 0).blocked_by(0) == -1


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["up", "down", "keep", "take"]))))
def test_sums_never_leave_their_bounds(steps: list[tuple[int, str]]) -> None:
    """Whatever the order: 0 ≤ kept ≤ used ≤ cap, and all is free when all came back."""
    book = ledger(6, 4, 2)
    for ordinal, step in steps:
        full = book.full_group(ordinal, RestartKind.REBOOT, left(book))
        if step == "down" and full is None and not book.suspended[ordinal]:
            book.reserve(ordinal, Phase.PLANNED)
        elif step == "up":
            book.release(ordinal, Phase.PLANNED)
        elif step == "keep":
            book.suspend(ordinal, Phase.PLANNED)
        elif step == "take":
            book.take_back(ordinal, Phase.PLANNED)
        for used, kept, cap in zip(book.used, book.kept, book.caps, strict=True):
            assert 0 <= kept <= used <= cap
    for ordinal in range(6):
        book.release(ordinal, Phase.PLANNED)
    assert book.used == book.kept == [0, 0]
