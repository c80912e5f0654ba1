"""Two hundred seeds on each run of the tests; `make sim` and `make soak` run more, and require
that every rare event occurs.
"""

import pytest

from rollout.model import limits
from rollout.model.time import SECOND
from rollout.sim import __main__ as command
from rollout.sim.check import trial
from rollout.sim.check.trial import Trial
from rollout.sim.world import scenario

SEEDS = 200


def test_no_checker_finds_anything(capsys: pytest.CaptureFixture[str]) -> None:
    """No seed breaks an invariant; one that does is named with the command that replays it."""
    failed = command.main(["--seeds", str(SEEDS), "--jobs", "2"])

    journaled = capsys.readouterr().out
    assert not failed, journaled
    assert f"{SEEDS:,} seeds, 0 failed" in journaled


@pytest.mark.parametrize("seed, real", [(2972, False), (5264, False), (3422, False), (60, True)])
def test_an_operator_ends_a_pause_that_was_refused_and_delivered_again(
    seed: int, *, real: bool
) -> None:
    """The next process accepts the pause, and no command of the scenario is left to end it."""
    assert trial.run(seed, real=real).wrong == []


@pytest.mark.parametrize("seed", [5489, 5905, 6141])
def test_a_bake_is_not_shortened_by_a_machine_whose_clock_stopped(seed: int) -> None:
    """The clock of a paused virtual machine stays behind; the bake counts from the service's time
    in the replies that this process received since.
    """
    assert trial.run(seed).wrong == []


@pytest.mark.parametrize("seed", [2413, 3234])
def test_a_rate_holds_after_the_clock_of_a_paused_machine_is_set_right(seed: int) -> None:
    """Restarts whose replies were lost count by the service's clock."""
    assert trial.run(seed).wrong == []


@pytest.mark.parametrize("seed", [1912, 3789])
def test_strict_limits_hold_while_logins_are_proved(seed: int) -> None:
    """No attach takes the place of an instance whose login may still fail."""
    assert trial.run(seed).wrong == []


@pytest.mark.parametrize("seed", [189, 376, 2896, 204943])
def test_a_member_that_stays_down_does_not_block_those_that_reserved_permits(seed: int) -> None:
    """They restart one by one as far as the cap allows; no attach reserves what is not left."""
    assert trial.run(seed).wrong == []


@pytest.mark.parametrize("seed", [4057, 6525])
def test_a_member_that_is_down_counts_although_no_census_observed_it_down(seed: int) -> None:
    """It gave its permit back while it was held (4057), or went down while the machine was
    suspended, with an answer from before (6525).
    """
    assert trial.run(seed).wrong == []


@pytest.mark.parametrize("seed", [11276, 20986, 21034, 27881])
def test_a_batch_that_was_observed_before_its_limits_shrank_is_not_attached(seed: int) -> None:
    """Members went down, or restarts in doubt were released under `strict`, before its attach."""
    assert trial.run(seed).wrong == []


def test_a_canary_that_refuses_the_new_key_halts_the_run_although_it_was_accepted_in_doubt() -> (
    None
):
    """The operator accepted that its restart was unproven, and not that its login is refused."""
    assert trial.run(33989).wrong == []


def test_the_clock_of_a_paused_machine_does_not_prove_that_an_attach_did_not_happen() -> None:
    """The call left ten minutes after its `not_after`, by the service's time."""
    assert trial.run(36569).wrong == []


def test_a_failed_call_of_a_former_census_does_not_keep_the_process_busy() -> None:
    """Without members to observe again, the process waits for the calls that are open."""
    assert trial.run(84866).wrong == []


def test_a_bake_counts_from_the_close_also_if_the_machine_is_suspended_then() -> None:
    """The line is written ten minutes after its events."""
    assert trial.run(11798).wrong == []


def test_a_failing_seed_prints_the_line_that_replays_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command fails, says what was wrong, and gives one line that does it again."""
    monkeypatch.setattr(
        trial, "run", lambda seed, *, real: Trial(seed, ["I-01: too early"], {}, "", real)
    )

    assert command.main(["--start", "41", "--seeds", "1"]) == 1

    journaled = capsys.readouterr().out
    assert "seed 41: I-01: too early" in journaled
    assert "python -m rollout.sim --start 41 --seeds 1" in journaled


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


def test_the_core_waits_longer_than_any_view_of_a_scenario_trails_behind() -> None:
    """A status is stale, its view lags: both together, and the second of an observation, must
    fit into the time in which Running is not believed.
    """
    drawn = [scenario.draw(seed).switches for seed in range(200)]

    trails_ms = max(one.stale_status_ms + one.describe_lag_ms for one in drawn)
    assert trails_ms + SECOND < limits.STATUS_LAG_MS
