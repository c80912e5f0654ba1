"""Commands about schedules: add, list, change and remove them. They make no API calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.cli import output
from rollout.cli.language import tr
from rollout.cli.options import Common, Flag
from rollout.cli.output import Output, Shown
from rollout.cli.terminal import Terminal
from rollout.errors import Exit, UsageError
from rollout.model.phrase import say

if TYPE_CHECKING:
    from rollout.app.schedules import ListedSchedule
    from rollout.model.spec import Spec
    from rollout.model.time import Instant


def add(
    spec: Path,
    /,
    *,
    replace: Flag = False,
    confirm: str | None = None,
    allow_unsafe_fs: Flag = False,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Add the schedule of a spec.

    Parameters
    ----------
    spec
        Spec with a `schedule`. The scheduler reads it again at each tick.
    replace
        Replace the schedule of the same name.
    confirm
        The spec's name: confirms `onDue: planAndApply`, which applies plans without a review.
    allow_unsafe_fs
        Accept a network or user-space file system for the runs directory.
    """
    from rollout.app import schedules
    from rollout.cli import confirmation, session
    from rollout.model.schedule import OnDue

    terminal = Terminal.of(common)

    def ask(loaded: Spec) -> None:
        if loaded.schedule is not None and loaded.schedule.on_due is OnDue.PLAN_AND_APPLY:
            confirmation.confirm_schedule(terminal, loaded.name, confirm)

    made = session.make(terminal, common, unsafe_fs=allow_unsafe_fs)
    added = schedules.add(spec, made, ask, replace=replace)
    _show(terminal, [added], form)
    name = added.state.name
    terminal.say(
        say(
            "`rollout serve --scheduler` fires its ticks. `rollout schedule trigger {name}` "
            "fires it once now.",
            name=name,
        )
    )
    return Exit.DONE


def list(  # noqa: A001 - the name of the command
    name: str | None = None,
    /,
    *,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """List the schedules, or everything that happened to one of them.

    Parameters
    ----------
    name
        Schedule whose decisions to list: fired, skipped and missed ticks with their reasons.
    """
    from rollout.app import schedules
    from rollout.cli import session
    from rollout.cli.views import schedules as views

    terminal = Terminal.of(common)
    made = session.make(terminal, common)
    if name is None:
        _show(terminal, [*schedules.listed(made)], form)
        return Exit.DONE
    rows = views.journal(schedules.history(name, made))
    result = Shown(
        text=lambda: views.journal_lines(rows, terminal.columns),
        document=lambda: {"format_version": "1.0", "schedule": name, "entries": rows},
        rows=lambda: rows,
        ids=lambda: (str(row["seq"]) for row in rows),
    )
    output.show(terminal, form, result)
    return Exit.DONE


def next(  # noqa: A001 - the name of the command
    name: str,
    /,
    *,
    count: int = 5,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Print the next ticks of a schedule, in UTC.

    Parameters
    ----------
    name
        Name of the schedule.
    count
        Number of ticks.
    """
    from rollout.app import schedules
    from rollout.cli import session
    from rollout.cli.views import schedules as views

    if not 0 < count <= 1_000:
        raise UsageError.of("R0001", say("--count {count}: write 1 to 1000", count=count))
    terminal = Terminal.of(common)
    found = views.times(schedules.upcoming(name, session.make(terminal, common), count))
    result = Shown(
        text=lambda: "\n".join(found),
        document=lambda: {"format_version": "1.0", "schedule": name, "next": found},
        rows=lambda: ({"schedule": name, "tick": tick} for tick in found),
        ids=lambda: found,
    )
    output.show(terminal, form, result)
    return Exit.DONE


def pause(
    name: str,
    /,
    *,
    reason: str = "",
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Skip the ticks of a schedule until it is resumed. A run that is open continues.

    Parameters
    ----------
    name
        Name of the schedule.
    reason
        Reason, for the schedule's journal.
    """
    from rollout.app import schedules
    from rollout.cli import session

    terminal = Terminal.of(common)
    _show(terminal, [schedules.pause(name, session.make(terminal, common), reason)], form)
    return Exit.DONE


def resume(
    name: str,
    /,
    *,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Fire the ticks of a paused schedule again. Ticks of the pause stay skipped.

    Parameters
    ----------
    name
        Name of the schedule.
    """
    from rollout.app import schedules
    from rollout.cli import session

    terminal = Terminal.of(common)
    _show(terminal, [schedules.resume(name, session.make(terminal, common))], form)
    return Exit.DONE


def trigger(
    name: str,
    /,
    *,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Fire a schedule once now, also if it is paused.

    Parameters
    ----------
    name
        Name of the schedule.
    """
    from rollout.app import schedules
    from rollout.cli import session

    terminal = Terminal.of(common)
    _show(terminal, [schedules.trigger(name, session.make(terminal, common))], form)
    return Exit.DONE


def backfill(
    name: str,
    /,
    *,
    first: str,
    last: str,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Fire skipped and missed ticks of a schedule, one after the other, with their own dates.

    Parameters
    ----------
    name
        Name of the schedule.
    first
        Time of the first tick, such as `2027-01-20T01:30:00Z`.
    last
        Time of the last tick. At most 10 ticks.
    """
    from rollout.app import schedules
    from rollout.cli import session

    terminal = Terminal.of(common)
    made = session.make(terminal, common)
    given = (_instant("--first", first), _instant("--last", last))
    _show(terminal, [schedules.backfill(name, made, *given)], form)
    return Exit.DONE


def remove(
    name: str,
    /,
    *,
    form: Output = Output(),  # noqa: B008 - frozen
    common: Common = Common(),  # noqa: B008 - frozen
) -> Exit:
    """Remove a schedule. Its journal stays, and a run that is open continues.

    Parameters
    ----------
    name
        Name of the schedule.
    """
    from rollout.app import schedules
    from rollout.cli import session

    terminal = Terminal.of(common)
    _show(terminal, [schedules.remove(name, session.make(terminal, common))], form)
    return Exit.DONE


def _instant(option: str, text: str) -> Instant:
    from datetime import datetime

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        cure = say("write a time with its offset, such as 2027-01-20T01:30:00Z")
        raise UsageError.of(
            "R0001", say("{option} {text}: not a time", option=option, text=text), help=cure
        )
    return int(found.timestamp() * 1000)


def _show(terminal: Terminal, listed: Sequence[ListedSchedule], form: Output) -> None:
    from rollout.cli.views import schedules as views

    rows = [views.row(one) for one in listed]
    result = Shown(
        text=lambda: views.table(rows) if rows else tr("No schedules."),
        document=lambda: {"format_version": "1.0", "schedules": rows},
        rows=lambda: rows,
        ids=lambda: (row["name"] for row in rows),
    )
    output.show(terminal, form, result)
