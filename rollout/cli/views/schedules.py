"""Format schedules, their ticks and their journals as tables or plain data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from rollout.cli import suggested
from rollout.cli.language import tr
from rollout.cli.views import render
from rollout.model.schedule_event import TIMES, ScheduleEntry, TickEnded, TickOutcome
from rollout.model.time import Instant, format_duration, format_instant

if TYPE_CHECKING:
    from rollout.app.schedules import ListedSchedule


def row(listed: ListedSchedule) -> dict[str, Any]:
    """Return the fields of one schedule."""
    state = listed.state
    schedule = state.schedule
    if schedule is None:
        return {"name": state.name, "state": "removed"}
    return {
        "name": state.name,
        "state": _state(listed),
        "next": format_instant(listed.upcoming[0]) if listed.upcoming else "",
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "on_due": schedule.on_due.value,
        "overlap": schedule.overlap.value,
        "catch_up": format_duration(schedule.catch_up_ms),
        "spec": state.spec,
        "last": _last(state.last, listed.run),
        "command": listed.command,
    }


def _state(listed: ListedSchedule) -> str:
    state, missing = listed.state, listed.approvals_missing
    if missing:
        return f"needs {render.count(missing, 'more approval')}"
    if state.open is not None:
        return f"firing {format_instant(state.open.tick)}"
    parts = [f"{render.count(len(state.queued), 'tick')} queued"] if state.queued else []
    if state.paused:
        parts.append(f"paused: {state.pause_reason}" if state.pause_reason else "paused")
    return ", ".join(parts) or "waiting"


def _last(ended: TickEnded | None, run: str) -> str:
    """Return how the last tick ended. `run`: the run that applied its plan, empty if none did."""
    if ended is None:
        return ""
    what = ended.run or ended.code or (run if ended.outcome is TickOutcome.PLANNED else "")
    return " ".join(filter(None, (format_instant(ended.tick), ended.outcome.value, what)))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return schedules as a table, and the commands that apply their plans."""
    shown = ("name", "state", "next", "cron", "time_zone", "on_due", "last")
    cells = [[str(one.get(key, "")) for key in shown] for one in rows]
    lines = render.table([render.heading(shown), *cells], "<" * len(shown), indent=0)
    commands = [
        tr("Next:  {command}", command=suggested.with_options(one["command"]))
        for one in rows
        if one.get("command")
    ]
    return "\n".join([*lines, *([""] if commands else []), *commands])


def times(upcoming: Iterable[Instant]) -> list[str]:
    """Return ticks as texts."""
    return [format_instant(tick) for tick in upcoming]


def journal(entries: Iterable[ScheduleEntry]) -> list[dict[str, Any]]:
    """Return the fields of the entries of a schedule's journal."""
    found = []
    for number, entry in enumerate(entries, 1):
        fields = msgspec.to_builtins(entry.event)
        kind = fields.pop("type")
        found.append(
            {
                "seq": number,
                "at": format_instant(entry.at),
                "event": kind,
                "by": f"{entry.actor.user}@{entry.actor.machine}",
                **{key: _text(key, value) for key, value in fields.items()},
            }
        )
    return found


def _text(key: str, value: Any) -> Any:
    if key in TIMES:
        return format_instant(value)
    return times(value) if key == "ticks" else value


def journal_lines(rows: Iterable[Mapping[str, Any]], columns: int | None) -> str:
    """Return one line for each entry, broken at `columns`."""
    lines = []
    for one in rows:
        head = ("seq", "at", "event", "by")
        shown = {key: value for key, value in one.items() if key not in head}
        rest = [_plain(key, value) for key, value in shown.items() if value not in ("", [])]
        text = f"{one['seq']:>4}  {one['at']}  {one['event']:<9} {' '.join(rest)}  {one['by']}"
        lines.append(render.fit(text, columns))
    return "\n".join(lines)


def _plain(key: str, value: Any) -> str:
    """Return a field as text; the fields of a nested one instead of it."""
    if isinstance(value, dict):
        return " ".join(_plain(inner, each) for inner, each in value.items())
    return f"{key}={','.join(value) if isinstance(value, list) else value}"
