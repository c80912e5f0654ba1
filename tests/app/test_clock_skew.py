"""A service's clock that differs: a warning, a correction, a journaled event, a refusal."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rollout.app import clock_skew, execute, plan, preflight
from rollout.app.session import Session
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.errors import AccessError, Exit, RolloutError
from rollout.journal.directory import DirectoryStore
from rollout.journal.verify import verify
from rollout.model import limits
from rollout.model.event import AnyEvent, ClockSkew
from rollout.model.time import HOUR, MINUTE, SECOND, Duration
from tests.app import service as stage
from tests.core.samples import NOW

RUNS = DirectoryStore(Path("runs"))

DAY = 24 * HOUR


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project directory, which is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def skewed(ahead: Duration, cloud: EmulatedCloud | None = None) -> EmulatedCloud:
    """A cloud whose clock is ahead of this machine's."""
    made = cloud or stage.emulated(size=12)
    made.switch(msgspec.structs.replace(made.switches, clock_skew_ms=ahead))
    return made


@pytest.mark.parametrize("ahead", [0, 59 * SECOND, -MINUTE])
def test_a_minute_is_no_difference(ahead: Duration) -> None:
    """`Date` has whole seconds and replies take time: up to a minute there is no warning."""
    assert clock_skew.check(ClockSkew(NOW, NOW + ahead), allowed=False) == ""


@pytest.mark.parametrize(
    "ahead,words",
    [
        (61 * SECOND, "1 m 1 s behind"),
        (-90 * MINUTE, "1 h 30 m ahead of"),
        (DAY, "1 d 0 h behind"),
    ],
)
def test_the_warning_has_both_times(ahead: Duration, words: str) -> None:
    """It has the difference, its direction, and the time of both clocks."""
    warning = str(clock_skew.check(ClockSkew(NOW, NOW + ahead), allowed=False))

    assert words in warning
    assert warning.count("T") >= 2 and " here, " in warning and " there" in warning


@pytest.mark.parametrize("ahead", [DAY + SECOND, -DAY - SECOND, 400 * DAY])
def test_more_than_a_day_needs_an_option(ahead: Duration) -> None:
    """Above 24 hours the command ends with exit 4, unless the operator accepts it."""
    with pytest.raises(AccessError) as caught:
        clock_skew.check(ClockSkew(NOW, NOW + ahead), allowed=False)

    assert (caught.value.problems[0].code, caught.value.exit) == ("R0409", Exit.DENIED)
    assert "--allow-clock-skew" in (caught.value.problems[0].help or "")
    assert clock_skew.check(ClockSkew(NOW, NOW + ahead), allowed=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("ahead", [400 * DAY, -400 * DAY])
async def test_a_clock_that_is_years_off_is_refused(ahead: Duration) -> None:
    """The connection ends with R0409 before anything is planned."""
    with pytest.raises(RolloutError) as caught:
        async with stage.connected(skewed(ahead)):
            pass

    assert caught.value.problems[0].code == "R0409"


@pytest.mark.asyncio
@pytest.mark.parametrize("ahead", [10 * MINUTE, -3 * HOUR, 400 * DAY])
async def test_a_run_follows_the_service_and_says_so_once(
    project: Path, ahead: Duration, caplog: pytest.LogCaptureFixture
) -> None:
    """Plan, expiry and journal have the service's time; one warning, one journaled event."""
    cloud = skewed(ahead)
    async with stage.connected(cloud, allow_clock_skew=True) as service:
        saved = (await plan.create(stage.write_spec(project), service, RUNS)).saved
    assert caplog.text.count("R0420") == 1

    async with (
        stage.connected(cloud, allow_clock_skew=True) as service,
        execute.hold_runs(Session(allow_unsafe_fs=True), service.clock.now()) as runner,
    ):
        there = service.clock.now()
        ended = await runner.begin(saved, service)

    assert ended.exit is Exit.DONE
    assert abs(saved.plan.expires_at - limits.PLAN_AGE_MAX_MS - there) < MINUTE
    events: list[AnyEvent] = []
    [run] = RUNS.runs()
    for line in run.read():
        assert abs(line.at - there) < MINUTE
        events.extend(line.body)
    (noted,) = (event for event in events if isinstance(event, ClockSkew))
    assert abs(noted.service - noted.local - ahead) < 5 * SECOND
    assert verify(run).problems_found == 0


@pytest.mark.asyncio
async def test_a_plan_expires_by_the_services_clock(project: Path) -> None:
    """A local clock that is two days behind does not extend a plan's validity."""
    cloud = skewed(0)
    async with stage.connected(cloud) as service:
        saved = (await plan.create(stage.write_spec(project), service, RUNS)).saved

    async with stage.connected(skewed(2 * DAY, cloud), allow_clock_skew=True) as service:
        with pytest.raises(RolloutError) as caught:
            await preflight.check(saved, service, RUNS)

    assert caught.value.problems[0].code == "R0601"
