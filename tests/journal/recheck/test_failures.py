"""Failures counted a second time, from the journal alone."""

from __future__ import annotations

from rollout.journal.recheck.failures import Failures


def counted(failed: int, *, targets: int = 300, waves: int = 2) -> Failures:
    """Failures of the last wave, which has so many targets; the canary has one."""
    wave_of = [0] * (waves - 1) + [waves - 1] * targets
    failures = Failures(wave_of, waves)
    for number in range(failed):
        failures.count(waves - 1 + number, failed=True)
    return failures


def test_three_failures_and_one_percent_of_a_later_wave_are_too_many() -> None:
    """Both bounds must be reached: 2 of 3 are too few, and so are 3 of 301."""
    assert counted(3).within(1) == 3
    assert counted(2, targets=3).within(1) == 0
    assert counted(3, targets=301).within(1) == 0


def test_the_first_wave_is_exempt_unless_it_is_the_only_one() -> None:
    """A canary runs to its end; a plan of one wave has none."""
    failures = counted(0)
    failures.count(0, failed=True)

    assert failures.within(0) == 0
    assert counted(3, waves=1).within(0) == 3


def test_what_was_accepted_counts_no_more() -> None:
    """Also not when it fails again."""
    failures = counted(3)
    assert failures.before(2) == 3
    failures.accept((1, 2, 3))
    failures.count(1, failed=True)

    assert failures.before(2) == failures.within(1) == 0


def test_more_than_five_and_one_percent_of_conflicts_are_too_many() -> None:
    """Both bounds must be exceeded."""
    failures = counted(0)
    for ordinal in range(1, 7):
        assert failures.conflicts(1) == 0
        failures.count(ordinal, failed=False, conflict=True)

    assert (failures.conflicts(1), failures.within(1), failures.before(2)) == (6, 0, 0)
    few = counted(0, targets=600)
    for ordinal in range(1, 7):
        few.count(ordinal, failed=False, conflict=True)
    assert few.conflicts(1) == 0


def test_an_instance_left_unfinished_counts_only_after_its_wave() -> None:
    """In doubt within a wave: it keeps its permit, and evidence may still come."""
    failures = counted(0)
    for ordinal in (1, 2, 3):
        failures.count(ordinal, failed=False, left=True)

    assert (failures.within(1), failures.before(2)) == (0, 3)
    failures.count(1, failed=False)
    assert failures.before(2) == 2
