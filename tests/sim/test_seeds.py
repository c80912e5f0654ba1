"""A few hundred seeds on each run of the tests; `make sim` and `make soak` run many more."""

import pytest

from rollout.sim import __main__ as command
from rollout.sim import coverage, trial
from rollout.sim.trial import Tally, Trial

CHUNKS = 4
CHUNK = 60

SELDOM = frozenset(
    {
        *("attach given up", "booted by others", "halted: unknown_code", "held: transitional"),
        *("held: unseen", "never began", "halted: drift", "bisected batch", "released"),
        *("last words", "unsent: disk", "results in part", "anomaly"),
    }
)
"""What a few hundred seeds need not meet; a thousand must, or `python -m rollout.sim` fails."""


@pytest.fixture(scope="module")
def tally() -> Tally:
    """All seeds of this module together."""
    found = Tally()
    for seed in range(CHUNKS * CHUNK):
        found.add(trial.run(seed))
    return found


def test_no_checker_finds_anything(tally: Tally) -> None:
    """No seed breaks an invariant; one that does is named with the command that replays it."""
    assert not [(one.replay, one.wrong[:3]) for one in tally.failed]


def test_rare_things_are_met(tally: Tally) -> None:
    """What is not among the rarest is met on every run of the tests."""
    assert not set(coverage.missing(tally.met)) - SELDOM


def test_a_failing_seed_prints_the_line_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command fails, says what was wrong, and gives one line that does it again."""
    monkeypatch.setattr(
        trial, "run", lambda seed, *, real: Trial(seed, ["I-01: too early"], {}, "", real)
    )

    assert command.main(["--start", "41", "--seeds", "1"]) == 1

    told = capsys.readouterr().out
    assert "seed 41: I-01: too early" in told
    assert "python -m rollout.sim --start 41 --seeds 1" in told


def test_many_seeds_that_never_met_something_rare_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a thousand seeds on, a rare thing that was never met fails the command by name."""
    monkeypatch.setattr(
        trial, "run", lambda seed, *, real: Trial(seed, [], {"crashed": 1}, "", real)
    )

    assert command.main(["--seeds", "1000"]) == 1
    assert command.main(["--seeds", "10"]) == 0
    assert "torn tail" in capsys.readouterr().out
