"""Commands of operators for schedules."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.app import schedule_book, schedules
from rollout.app.notices import Notices
from rollout.app.session import Session
from rollout.errors import Problem, UsageError
from rollout.model.phrase import Wording
from rollout.model.time import HOUR, Instant
from tests.app import service as stage

SPEC = stage.SPEC + ('  schedule: { cron: "0 * * * *", timeZone: UTC, onDue: plan }\n')
ADDED: Instant = 1_796_121_000_000


class Kept(Notices):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.warnings: list[Problem] = []
        self.texts: list[str] = []

    def warn(self, problem: Problem) -> None:
        """Keep the warning."""
        self.warnings.append(problem)

    def say(self, text: Wording) -> None:
        """Keep the text."""
        self.texts.append(str(text))


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A project with a schedule that was added at 10:30; now it is 13:30."""
    monkeypatch.chdir(tmp_path)
    stage.write_spec(tmp_path, text=SPEC)
    made = Session(allow_unsafe_fs=True, notices=Kept())
    at(monkeypatch, ADDED)
    schedules.add(Path("fleet.yaml"), made, lambda _: None)
    at(monkeypatch, ADDED + 3 * HOUR)
    return made


def at(patch: pytest.MonkeyPatch, now: Instant) -> None:
    """Set the wall clock."""
    for module in (schedule_book, schedules):
        patch.setattr(module, "wall_clock", lambda: now)


def settle(session: Session) -> None:
    """Record the due ticks as skipped."""
    schedules.pause("fleet", session, "audit")
    schedules.resume("fleet", session)


def test_a_backfill_fires_no_tick_from_before_the_add(session: Session) -> None:
    """The range begins when the schedule was added, and a message says so."""
    settle(session)

    found = schedules.backfill("fleet", session, ADDED - 5 * HOUR, ADDED + 2 * HOUR)

    hour = ADDED + HOUR // 2
    assert [one.tick for one in found.state.queued] == [hour, hour + HOUR]
    assert isinstance(session.notices, Kept)
    assert session.notices.texts == [
        "fleet was added at 2026-12-01T10:30:00Z: it has no ticks before"
    ]


@pytest.mark.parametrize(
    "first,last,text",
    [
        (-5, -1, "fleet was added at 2026-12-01T10:30:00Z, after the end of this range"),
        (5, 9, "0 skipped ticks of fleet from 2026-12-01T15:30:00Z to 2026-12-01T19:30:00Z"),
    ],
)
def test_a_range_without_ticks_is_named_as_given(
    session: Session, first: int, last: int, text: str
) -> None:
    """The range of the message never ends before it begins, and the cause is a late `add`."""
    with pytest.raises(UsageError) as caught:
        schedules.backfill("fleet", session, ADDED + first * HOUR, ADDED + last * HOUR)

    (problem,) = caught.value.problems
    assert problem.code == "R0543" and problem.message.startswith(text)


def test_a_replacement_does_not_hide_skipped_ticks(session: Session) -> None:
    """The ticks of a schedule stay after `add --replace`, and end with its removal."""
    schedules.add(Path("fleet.yaml"), session, lambda _: None, replace=True)
    assert schedules.backfill("fleet", session, ADDED, ADDED + HOUR).state.queued

    schedules.remove("fleet", session)
    schedules.add(Path("fleet.yaml"), session, lambda _: None)
    with pytest.raises(UsageError):
        schedules.backfill("fleet", session, ADDED, ADDED + 3 * HOUR)


def test_a_second_pause_keeps_the_reason(session: Session) -> None:
    """A pause without a reason does not erase the first one; a new reason replaces it."""
    schedules.pause("fleet", session, "freeze of the bank")

    assert schedules.pause("fleet", session, "").state.pause_reason == "freeze of the bank"
    assert schedules.pause("fleet", session, "audit").state.pause_reason == "audit"


def test_a_key_file_that_is_missing_at_the_next_tick_is_located(session: Session) -> None:
    """The warning names the line of the spec and the file to create."""
    text = SPEC.replace("publicKeyFile: new.pub", 'publicKeyFile: "{year}.pub"')
    stage.write_spec(Path(), text=text)

    schedules.add(Path("fleet.yaml"), session, lambda _: None, replace=True)

    assert isinstance(session.notices, Kept)
    (found,) = [one for one in session.notices.warnings if one.code == "R0361"]
    assert found.place is not None and found.place.file == "fleet.yaml"
    assert "before then, put the public key there" in (found.help or "")
