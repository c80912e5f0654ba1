"""Format a run, open or closed, as text in the current language, or as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from rollout.app.runs import ListedRun, RunFacts
from rollout.cli import suggested
from rollout.cli.language import is_english, tr, translated
from rollout.cli.views import receivers, render, run_words
from rollout.errors import CODES
from rollout.model.phrase import Phrase, Wording, say
from rollout.model.printable import escaped
from rollout.model.text import some
from rollout.model.time import Duration, Instant, format_instant
from rollout.model.view import LaneView, Left, RunView

LEFT_SHOWN = 20
ELSEWHERE_SHOWN = 3
AWAY_SHOWN = 3
RESUME_ACCEPTS = say("accepts these failures and continues:")

_COLUMNS = {
    "done": ("done",),
    "unverified": ("unverified",),
    "restarting": ("restarting", "settling", "comparing"),
    "verifying": ("verifying",),
    "in doubt": ("in_doubt",),
    "failed": ("failed",),
    "stranded": ("stranded",),
    "skipped": ("skipped",),
    "waiting": ("planned", "attaching", "attached"),
}
"""Columns of the wave table and their phases. Columns without instances are left out."""
_ALWAYS = ("done", "failed")
_RELEASED = "gone"
"""The reason of instances that were released during the run."""


_HISTORY = {
    "run": say("run"),
    "started": say("started"),
    "state": say("state"),
    "done": say("done"),
    "failed": say("failed"),
    "stranded": say("stranded"),
    "exit": say("exit"),
    "plan": say("plan"),
}
"""Columns of the list of runs."""


class RunFields(msgspec.Struct, frozen=True):
    """The fields that the JSON document of a run has in addition to its view.

    `head` is number and digest of the last journal line as `SEQ:HASH`; `holder` is the process that
    drives the run, empty if none does; `receivers` are who is notified.
    """

    format_version: str
    run_dir: str
    plan_digest: str
    emulator: bool
    started_at: str
    updated_at: str
    holder: str
    head: str
    receivers: list[receivers.ReceiverFields]


def status(view: RunView, facts: RunFacts, width: int) -> str:
    """Return the run's state as text: head, waves, permits, waiting instances, next steps."""
    lines = [*_head(view, facts, width), *_waves(view), *_permits(view, width)]
    lines += [f"  {translated(lane(one, facts.until))}" for one in view.lanes]
    if view.window:
        lines += render.wrap(view.window, width, first="  ", rest="    ")
    if view.state != "closed":
        waiting = [f"{number:,} {run_words.wait(why)}" for why, number in view.waiting.items()]
        if waiting:
            text = tr("waiting: {reasons}", reasons="; ".join(waiting))
            lines += render.wrap(text, width, first="  ", rest="    ")
    for cluster in view.clusters:
        lines += render.wrap(cluster, width, first="  ", rest="    ")
    lines += [*_sum(view, width), *_elsewhere(view, width), *_listed(view, width)]
    lines += receivers.status(view.run, facts.receivers, width)
    steps = list(_next_commands(view, facts))
    return "\n".join(map(escaped, [*lines, *([""] if steps else []), *steps]))


def _next_commands(view: RunView, facts: RunFacts) -> Iterator[str]:
    """Yield the commands that continue or close the run, or plan the rest of a closed one."""
    yield from promotions(view.run, unanswered=view.to_promote, shut=view.shut)
    stopped = view.state in ("halted", "drained", "paused")
    if stopped or (view.state == "running" and not facts.holder):
        accepts = f"{translated(RESUME_ACCEPTS)} " if view.reason.startswith("R0504") else ""
        yield tr("resume: {command}", command=f"{accepts}{suggested.command('resume', view.run)}")
    if view.state == "halted":
        yield tr("abort:  {command}", command=suggested.command("abort", view.run))
    if view.state == "closed" and (options := _retry_options(view)) is not None:
        yield tr("retry:  {command}", command=suggested.command("retry", view.run, *options))


def _retry_options(view: RunView) -> tuple[str, ...] | None:
    """Return the options of the `retry` that plans what is left; None if it would plan nothing.

    Instances in doubt are planned only on request, because they may be restarted a second time.
    """
    phases = {one.phase for one in (*view.left, *view.skipped) if one.why != _RELEASED}
    if phases & {"failed", "stranded", "skipped"}:
        return ()
    return ("--in-doubt",) if "in_doubt" in phases else None


def promotions(run: str, *, unanswered: bool, shut: bool) -> Iterator[str]:
    """Yield the commands that open the gate of a run: a manual one without a promotion, and one
    that answers keep shut.
    """
    if unanswered:
        yield tr("promote: {command}", command=suggested.command("promote", run))
    if shut:
        yield tr("open:   {command}", command=suggested.command("promote", run, "--reason", "WHY"))


def summary(view: RunView, facts: RunFacts, width: int) -> str:
    """Return the state and the run's files as text; `apply` and `resume` print it when they end."""
    files = [
        tr("audit:  {command}", command=suggested.command("audit", "verify", view.run)),
        tr("head:   {head}", head=facts.head),
        tr("files:  {folder}", folder=facts.location),
    ]
    gap = [] if any(_next_commands(view, facts)) else [""]
    return "\n".join([status(view, facts, width), *gap, *files])


def data(view: RunView, facts: RunFacts) -> dict[str, Any]:
    """Return the same as plain data."""
    known = RunFields(
        "1.0",
        facts.location,
        facts.plan_digest,
        facts.emulated,
        format_instant(facts.started_at),
        format_instant(facts.at),
        facts.holder,
        facts.head,
        receivers.rows(facts.receivers),
    )
    state = {"state": state_of(view, facts.holder)}
    return {**msgspec.to_builtins(known), **msgspec.to_builtins(view), **state}


def state_of(view: RunView, holder: str) -> str:
    """Return the displayed state: a running run that no process drives is `interrupted`."""
    return "interrupted" if view.state == "running" and not holder else view.state


def _head(view: RunView, facts: RunFacts, width: int) -> list[str]:
    took: Duration = facts.until - facts.started_at
    open_wave = next((n for n, wave in enumerate(view.waves) if wave.state == "open"), None)
    state = state_of(view, facts.holder)
    parts = [f"{view.run}  {run_words.state_name(state).upper()}"]
    if open_wave is not None:
        name = view.waves[open_wave].name
        parts.append(
            tr(
                "wave {number}/{waves} {name}",
                number=open_wave + 1,
                waves=len(view.waves),
                name=name,
            )
        )
    lines = [f"EMULATOR   {tr('no real instance is changed')}"] if facts.emulated else []
    lines.append(" · ".join(parts))
    lines.append(
        tr(
            "  plan {name} {digest} · since {time} ({span})",
            name=view.name,
            digest=render.short(facts.plan_digest),
            time=format_instant(facts.started_at),
            span=render.span(took),
        )
    )
    if view.reason:
        text = _reason(view)
        lines += render.wrap(text, width, first="  ", rest="    ")
    if facts.holder:
        driver = facts.holder.removeprefix(f"run {view.run} by ")
        lines += render.wrap(
            tr("driven by {driver}", driver=driver), width, first="  ", rest="    "
        )
    return lines


def _reason(view: RunView) -> str:
    """Return why the run stopped: the text of its journal, after its title in other languages."""
    if view.state == "drained":
        return tr("stopped by {cause}", cause=view.reason)
    code = view.reason.partition(" ")[0]
    if is_english() or code not in CODES:
        return view.reason
    return tr("{title}: {text}", title=translated(CODES[code].title), text=view.reason)


def _waves(view: RunView) -> list[str]:
    counts = [
        {name: sum(wave.phases.get(one, 0) for one in of) for name, of in _COLUMNS.items()}
        for wave in view.waves
    ]
    names = [name for name in _COLUMNS if name in _ALWAYS or any(one[name] for one in counts)]
    heads = (translated(run_words.NAMES[name]) for name in names)
    rows = [(tr("wave"), tr("targets"), *heads, "")]
    for wave, numbers in zip(view.waves, counts, strict=True):
        cells = [f"{numbers[name]:,}" for name in names]
        rows.append((wave.name, f"{wave.targets:,}", *cells, run_words.state_name(wave.state)))
    return render.table(rows, "<" + ">" * (len(names) + 1) + "<")


def _permits(view: RunView, width: int) -> list[str]:
    if view.state == "closed":
        return []
    permits = [
        tr("{used:,} of {most:,} permits ({group})", used=one.used, most=one.cap, group=one.key)
        for one in view.groups
    ]
    text = tr(
        "down {permits} · exposed {exposed:,} of {most:,}",
        permits=some([escaped(one) for one in permits]),
        exposed=view.exposed,
        most=view.exposed_max,
    )
    lines = render.wrap(text, width, first="  ", rest="    ")
    if view.away:
        away = [
            tr(
                "{instance} {status} since {time}",
                instance=one.instance,
                status=one.status,
                time=one.since,
            )
            for one in view.away
        ]
        text = tr(
            "down without this run, each with a permit: {instances}",
            instances=some([escaped(one) for one in away], AWAY_SHOWN),
        )
        lines += render.wrap(text, width, first="  ", rest="    ")
    return lines


def lane(one: LaneView, at: Instant) -> Phrase:
    """Return one throttled lane at that instant: its pace, its number of throttled calls, and the
    end of its pause.
    """
    pace: Wording = f"{one.region} {one.action} {one.per_minute:,}/min"
    if one.quota:
        pace = say("{pace} of {quota:,} learned", pace=pace, quota=one.quota)
    text = say("{pace} · throttled {number:,}", pace=pace, number=one.throttled)
    if one.until <= format_instant(at):
        return text
    return say("{lane} · paused until {time} UTC", lane=text, time=one.until[11:19])


def _sum(view: RunView, width: int) -> list[str]:
    """Return the sum `found = done + … + excluded` as lines."""
    found = sum(view.classes.values())
    text = tr(
        "{found:,} found = {sum}",
        found=found,
        sum=run_words.classes(view.classes, view.failed_down),
    )
    return render.wrap(text, width, first="  ", rest="    ")


def _elsewhere(view: RunView, width: int) -> list[str]:
    """Return lines about restarts that this run did not call."""
    found = view.restarted_elsewhere
    if not found:
        return []
    more = ["…"] if len(found) > ELSEWHERE_SHOWN else []
    text = tr(
        "restarted by other operators during the run: {number:,} ({names})",
        number=len(found),
        names=", ".join([*found[:ELSEWHERE_SHOWN], *more]),
    )
    return render.wrap(text, width, first="  ", rest="    ")


def _listed(view: RunView, width: int) -> list[str]:
    """Return lines about the instances that need an operator, and about those that were skipped."""
    return [
        *_list(view, tr("Needs an operator:"), view.left, "ids", width),
        *_list(view, tr("Skipped:"), view.skipped, "json", width),
    ]


def _list(view: RunView, title: str, rows: tuple[Left, ...], form: str, width: int) -> list[str]:
    """Return lines about some instances; `form` is the output of `status` that lists all."""
    if not rows:
        return []
    lines = ["", title]
    shown = rows[:LEFT_SHOWN]
    cells = [
        (one.instance, one.region, run_words.phase(one.phase, down=one.down), one.why)
        for one in shown
    ]
    lines += render.table(cells, "<<<<")
    if len(rows) > len(shown):
        more = len(rows) - len(shown)
        command = suggested.command("status", view.run, "-o", form)
        lines.append(tr("  … {more:,} more: {command}", more=more, command=command))
    for key in dict.fromkeys(run_words.next_step(one) for one in rows):
        closed = run_words.NEXT_STEP_CLOSED.get(key) if view.state == "closed" else None
        step = closed or run_words.NEXT_STEP_FOR.get(key) or run_words.NEXT_STEP.get(key)
        if step:
            text = tr("{reason}: {step}", reason=key, step=step)
            lines += render.wrap(text, width, first="  → ", rest="    ")
    return lines


def left_ids(left: tuple[Left, ...]) -> str:
    """Return the ids of instances that need an operator, one per line."""
    return "\n".join(one.instance for one in left)


def row(listed: ListedRun) -> dict[str, Any]:
    """Return one run as plain data. If it cannot be read, `state` and `why` say so."""
    view, facts = listed.view, listed.facts
    known: dict[str, Any] = {"run": listed.run, "started_at": format_instant(listed.at)}
    if view is None or facts is None:
        return {**known, "state": "unreadable", "why": listed.why}
    return {
        **known,
        "state": state_of(view, facts.holder),
        "plan": view.name,
        "emulator": facts.emulated,
        "targets": sum(wave.targets for wave in view.waves),
        "classes": view.classes,
        "exit": None if view.state == "running" else view.exit,
    }


def history(rows: list[dict[str, Any]], columns: int | None) -> str:
    """Return a table with a line for each of these rows."""
    names = ("run", "started", "state", "done", "failed", "stranded", "exit", "plan")
    table: list[tuple[str, ...]] = [tuple(translated(_HISTORY[name]) for name in names)]
    for row in rows:
        classes = row.get("classes", {})
        done = f"{classes['done']:,}/{row['targets']:,}" if classes else "-"
        numbers = [classes.get("failed"), classes.get("stranded"), row.get("exit")]
        cells = ["-" if number is None else f"{number:,}" for number in numbers]
        plan = row.get("plan", "-") + (" EMULATOR" if row.get("emulator") else "")
        started = row["started_at"][: len("2026-11-24T15:21")] + "Z"
        state = run_words.state_name(row["state"])
        table.append((row["run"], started, state, done, *cells, plan))
    lines = render.table(table, "<<<>>>><", indent=0)
    return "\n".join(render.fit(line, columns) for line in lines)
