"""A crash anywhere, then a resume: the same end as without the crash, and no restart twice."""

import pytest

from rollout.sim import __main__ as command
from rollout.sim.check import crashes
from rollout.sim.check.crashes import REFERENCES, Pairs
from rollout.sim.world.world import World

SMALL = crashes.calm(size=9, cap_percents=(100,))
"""A canary, then three targets at once."""


@pytest.mark.parametrize("name", REFERENCES)
def test_a_crash_at_every_point_ends_as_without_it(name: str) -> None:
    """Wherever the process dies once, the resumed run ends in the same classes and keys, or with
    the one restart in doubt that nobody can know of.
    """
    reference = REFERENCES[name]
    expected = crashes.ends(World(reference).run())

    found = {
        after: problems
        for after in range(1, crashes.points(reference) + 1)
        if (problems := crashes.wrong(crashes.crashed(reference, after), expected))
    }

    assert not found


def test_two_crashes_end_as_without_them() -> None:
    """A resumed process may die too, wherever it has come to: every tenth first point, and every
    second one. `make soak` runs all pairs.
    """
    expected = crashes.ends(World(SMALL).run())
    last = crashes.points(SMALL)

    found = [crashes.pairs_after(SMALL, expected, first) for first in range(1, last + 1, 10)]

    assert len(expected) == 5
    assert sum(one.count for one in found) > last * last // 30
    assert not [one.wrong for one in found if one.wrong]


def test_pairs_that_end_otherwise_fail_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command names the two points and what ended otherwise; a clean sheet is exit 0."""
    monkeypatch.setattr(crashes, "points", lambda _: 2)
    monkeypatch.setattr(crashes, "pairs_after", lambda *_: Pairs(3, {}))
    assert command.main(["--crash-pairs"]) == 0
    assert "6 pairs of crashes in a run of 14 instances, 0 wrong" in capsys.readouterr().out

    monkeypatch.setattr(crashes, "pairs_after", lambda *_: Pairs(3, {(1, 2): ["i-1: failed"]}))
    assert command.main(["--crash-pairs"]) == 1
    assert "crash at 1, then at 2: i-1: failed" in capsys.readouterr().out
