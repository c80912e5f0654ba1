"""Format a run, open or closed, as text or plain data. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from rollout.app.runs import ListedRun, RunFacts
from rollout.cli.views import receivers, render
from rollout.model.printable import escaped
from rollout.model.text import some
from rollout.model.time import Duration, Instant, format_instant
from rollout.model.view import LaneView, Left, RunView

CLASSES = ("done", "unverified", "failed", "skipped", "in_doubt", "stranded", "open", "excluded")
"""Each instance of the inventory has exactly one of these classes. A closed run has none open."""

NEXT_STEP = {
    "failed": "fix the cause, then plan again",
    "stranded": "key attached, not in force: restart the instance, or plan again (restart only)",
    "in_doubt": "the restart is not confirmed: resume observes it again; if you know the outcome, "
    "state it with rollout resolve",
    "skipped": "not changed: fix the cause, then plan again",
    "unverified": "restarted but not proved: check that the new key works",
}
NEXT_STEP_FOR = {
    "foreign_key": (
        "another operator attached a third key pair: find out who; resume observes it again"
    ),
    "gone": "released during the run: nothing to do",
    "stopped_since_plan": "stopped by another operator after planning: start it, or plan again",
    "stopped_after_attach": (
        "stopped by another operator after the attach: the key takes effect at the next start"
    ),
    "login_unproven": (
        "restarted, but no login reached it: check address, port and jump host, then log in"
    ),
    "key_refused": "it runs and refuses the new key: log in by the console, then plan again",
    "former_key_accepted": "the former key still opens it: remove that key from authorized_keys",
    "host_key_changed": (
        "its host key changed with the restart: find out why before you log in to it"
    ),
    "hook_failed": "it runs, and a check of `verify` failed: read the audit log",
    "key_pair_changed": (
        "attached while the key pair had another public key: attach a key pair with a new name"
    ),
}
"""Next steps by reason; they take precedence over the next steps by phase."""
NEXT_STEP_CLOSED = {
    "foreign_key": "another operator attached a third key pair: find out who, then plan again",
    "in_doubt": "the restart is not confirmed: check the instance, then plan again",
}
"""Next steps that differ once the run is closed: `resume` and `resolve` do nothing then."""
LEFT_SHOWN = 20
ELSEWHERE_SHOWN = 3
RESUME_ACCEPTS = "accepts these failures and continues:"

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
    lines += [f"  {lane(one, facts.at)}" for one in view.lanes]
    if view.window:
        lines += render.wrap(view.window, width, first="  ", rest="    ")
    if view.state != "closed":
        waiting = [f"{number:,} {why}" for why, number in view.waiting.items()]
        if waiting:
            lines += render.wrap(f"waiting: {'; '.join(waiting)}", width, first="  ", rest="    ")
    for cluster in view.clusters:
        lines += render.wrap(cluster, width, first="  ", rest="    ")
    lines += [*_sum(view, width), *_elsewhere(view, width), *_listed(view, width)]
    lines += receivers.status(view.run, facts.receivers, width)
    steps = list(_next_commands(view, facts))
    return "\n".join(map(escaped, [*lines, *([""] if steps else []), *steps]))


def _next_commands(view: RunView, facts: RunFacts) -> Iterator[str]:
    """Yield the commands that continue or close the run."""
    if view.to_promote:
        yield f"promote: rollout promote {view.run}"
    if view.shut:
        yield f"open:   rollout promote {view.run} --reason WHY"
    stopped = view.state in ("halted", "drained", "paused")
    if stopped or (view.state == "running" and not facts.holder):
        accepts = f"{RESUME_ACCEPTS} " if view.reason.startswith("R0504") else ""
        yield f"resume: {accepts}rollout resume {view.run}"
    if view.state == "halted":
        yield f"abort:  rollout abort {view.run}"


def summary(view: RunView, facts: RunFacts, width: int) -> str:
    """Return the state and the run's files as text; `apply` and `resume` print it when they end."""
    files = [
        f"audit:  rollout audit verify {view.run}",
        f"head:   {facts.head}",
        f"files:  {facts.location}",
    ]
    text = status(view, facts, width)
    ends_with_commands = text.rpartition("\n")[2].startswith(("promote", "open", "resume", "abort"))
    return "\n".join([text, *([] if ends_with_commands else [""]), *files])


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


def classes(counts: Mapping[str, int], down: int) -> str:
    """Return all classes as `437 done + 0 unverified + …`, with line breaks only between them.
    `down` of the failed instances are down, the others serve.
    """
    failed = counts.get("failed", 0)
    split = f" ({failed - down:,} serve, {down:,} down)" if failed else ""
    parts = [f"{counts[name]:,} {name}" for name in CLASSES if name in counts]
    parts = [part + split if part.endswith("failed") else part for part in parts]
    return " + ".join(re.sub("[ _]", "\u00a0", part) for part in parts)


def state_of(view: RunView, holder: str) -> str:
    """Return the displayed state: a running run that no process drives is `interrupted`."""
    return "interrupted" if view.state == "running" and not holder else view.state


def _head(view: RunView, facts: RunFacts, width: int) -> list[str]:
    took: Duration = facts.at - facts.started_at
    open_wave = next((n for n, wave in enumerate(view.waves) if wave.state == "open"), None)
    parts = [f"{view.run}  {state_of(view, facts.holder).upper()}"]
    if open_wave is not None:
        parts.append(f"wave {open_wave + 1}/{len(view.waves)} {view.waves[open_wave].name}")
    since = f"since {format_instant(facts.started_at)} ({render.span(took)})"
    lines = ["EMULATOR   no real instance is changed"] if facts.emulated else []
    lines.append(" · ".join(parts))
    lines.append(f"  plan {view.name} {render.short(facts.plan_digest)} · {since}")
    if view.reason:
        stopped = "stopped by " if view.state == "drained" else ""
        lines += render.wrap(f"{stopped}{view.reason}", width, first="  ", rest="    ")
    if facts.holder:
        driver = facts.holder.removeprefix(f"run {view.run} by ")
        lines += render.wrap(f"driven by {driver}", width, first="  ", rest="    ")
    return lines


def _waves(view: RunView) -> list[str]:
    counts = [
        {name: sum(wave.phases.get(one, 0) for one in of) for name, of in _COLUMNS.items()}
        for wave in view.waves
    ]
    names = [name for name in _COLUMNS if name in _ALWAYS or any(one[name] for one in counts)]
    rows = [("wave", "targets", *names, "")]
    for wave, numbers in zip(view.waves, counts, strict=True):
        cells = [f"{numbers[name]:,}" for name in names]
        rows.append((wave.name, f"{wave.targets:,}", *cells, wave.state))
    return render.table(rows, "<" + ">" * (len(names) + 1) + "<")


def _permits(view: RunView, width: int) -> list[str]:
    if view.state == "closed":
        return []
    down = some(
        [f"{one.used:,} of {one.cap:,} permits ({escaped(one.key)})" for one in view.groups]
    )
    text = f"down {down} · exposed {view.exposed:,} of {view.exposed_max:,}"
    return render.wrap(text, width, first="  ", rest="    ")


def lane(one: LaneView, at: Instant) -> str:
    """Return one throttled lane at that instant as text: its pace, its number of throttled calls,
    and the end of its pause.
    """
    learned = f" of {one.quota:,} learned" if one.quota else ""
    pace = f"{one.region} {one.action} {one.per_minute:,}/min{learned}"
    paused = f" · paused until {one.until[11:19]} UTC" if one.until > format_instant(at) else ""
    return f"{pace} · throttled {one.throttled:,}{paused}"


def _sum(view: RunView, width: int) -> list[str]:
    """Return the sum `found = done + … + excluded` as lines."""
    found = sum(view.classes.values())
    text = f"{found:,} found = {classes(view.classes, view.failed_down)}"
    return render.wrap(text, width, first="  ", rest="    ")


def _elsewhere(view: RunView, width: int) -> list[str]:
    """Return lines about restarts that this run did not call."""
    found = view.restarted_elsewhere
    if not found:
        return []
    names = ", ".join(found[:ELSEWHERE_SHOWN])
    more = ", …" if len(found) > ELSEWHERE_SHOWN else ""
    text = f"restarted by other operators during the run: {len(found):,} ({names}{more})"
    return render.wrap(text, width, first="  ", rest="    ")


def _listed(view: RunView, width: int) -> list[str]:
    """Return lines about the instances that need an operator, and about those that were skipped."""
    return [
        *_list(view, "Needs an operator:", view.left, "ids", width),
        *_list(view, "Skipped:", view.skipped, "json", width),
    ]


def _list(view: RunView, title: str, rows: tuple[Left, ...], form: str, width: int) -> list[str]:
    """Return lines about some instances; `form` is the output of `status` that lists all."""
    if not rows:
        return []
    lines = ["", title]
    shown = rows[:LEFT_SHOWN]
    cells = [(one.instance, one.region, phase(one.phase, down=one.down), one.why) for one in shown]
    lines += render.table(cells, "<<<<")
    if len(rows) > len(shown):
        more = f"rollout status {view.run} -o {form}"
        lines.append(f"  … {len(rows) - len(shown):,} more: {more}")
    for key in dict.fromkeys(_next_step(one) for one in rows):
        closed = NEXT_STEP_CLOSED.get(key) if view.state == "closed" else None
        step = closed or NEXT_STEP_FOR.get(key) or NEXT_STEP.get(key)
        if step:
            lines += render.wrap(f"{key}: {step}", width, first="  → ", rest="    ")
    return lines


def phase(label: str, *, down: bool) -> str:
    """Return a phase. A failed instance either serves, or is down and keeps its permit."""
    if label != "failed":
        return label
    return f"{label}, down" if down else f"{label}, serves"


def _next_step(left: Left) -> str:
    """Return the key of an instance's next step: its reason if it has a step, else its phase."""
    return left.why if left.why in NEXT_STEP_FOR else left.phase


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
    table: list[tuple[str, ...]] = [names]
    for row in rows:
        classes = row.get("classes", {})
        done = f"{classes['done']:,}/{row['targets']:,}" if classes else "-"
        numbers = [classes.get("failed"), classes.get("stranded"), row.get("exit")]
        cells = ["-" if number is None else f"{number:,}" for number in numbers]
        plan = row.get("plan", "-") + (" EMULATOR" if row.get("emulator") else "")
        started = row["started_at"][: len("2026-11-24T15:21")] + "Z"
        table.append((row["run"], started, row["state"], done, *cells, plan))
    lines = render.table(table, "<<<>>>><", indent=0)
    return "\n".join(render.fit(line, columns) for line in lines)
