"""A run as people read it, open or closed. Pure: read models in, text or plain data out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from rollout.cli import render
from rollout.errors import Exit
from rollout.model.plan import Plan
from rollout.model.printable import escaped
from rollout.model.time import Duration, Instant, format_instant
from rollout.model.view import LaneView, Left, RunView

CLASSES = ("done", "unverified", "failed", "skipped", "in_doubt", "stranded", "open", "excluded")
"""Every instance of the inventory is in exactly one of these; in a closed run none is open."""

NEXT_STEP = {
    "failed": "fix the cause, then plan again",
    "stranded": "key attached, not in force: plan again (restart only), or restart it yourself",
    "in_doubt": "not known whether it restarted; resume observes it again, or state what you know "
    "with rollout resolve",
    "skipped": "left as it was: plan again when the cause is gone",
    "unverified": "assumed done: check that the new key works",
}
NEXT_STEP_FOR = {
    "foreign_key": "somebody attached another key pair: find out who; resume observes it again",
    "gone": "released during the run: nothing is left to do",
    "stopped_since_plan": "stopped by somebody after planning: start it, or plan again",
    "stopped_after_attach": (
        "stopped by somebody after the attach: the key takes effect at its next start"
    ),
    "key_pair_changed": (
        "attached while the key pair had other material: attach a key pair with a new name"
    ),
}
"""Next steps that depend on the reason, which then matters more than the phase."""
LEFT_SHOWN = 20
ELSEWHERE_SHOWN = 3
RESUME_ACCEPTS = "accepts these failures and continues:"

_COLUMNS = {
    "done": ("done",),
    "unverified": ("unverified",),
    "restarting": ("restarting", "settling", "comparing"),
    "in doubt": ("in_doubt",),
    "failed": ("failed",),
    "stranded": ("stranded",),
    "skipped": ("skipped",),
    "waiting": ("planned", "attaching", "attached"),
}
"""Columns of the wave table and their phases; a column without an instance is left out."""
_ALWAYS = ("done", "failed")


class Facts(msgspec.Struct, frozen=True):
    """What is known of a run beside its state."""

    run_dir: Path
    plan_digest: str
    emulated: bool
    started_at: Instant
    at: Instant
    holder: str = ""
    """Who holds the run's lock now, empty where nobody does."""
    head: str = ""
    """Number and digest of the journal's last line, as `SEQ:HASH`."""


class Ended(msgspec.Struct, frozen=True):
    """How a run stands when a command is done with it, and what that command ends with."""

    view: RunView
    facts: Facts
    exit: Exit


def status(view: RunView, facts: Facts, width: int) -> str:
    """Where the run stands: head, waves, permits, what waits and for what, what is left."""
    lines = [*_head(view, facts, width), *_waves(view), *_permits(view)]
    lines += [f"  {lane(one, facts.at)}" for one in view.lanes]
    if view.state != "closed":
        waiting = [f"{number:,} {why}" for why, number in view.waiting.items()]
        if waiting:
            lines += render.wrap(f"waiting: {'; '.join(waiting)}", width, first="  ", rest="    ")
    lines += [*_sum(view, width), *_elsewhere(view, width), *_left(view, width)]
    if view.state in ("halted", "drained") or (view.state == "running" and not facts.holder):
        accepts = f"{RESUME_ACCEPTS} " if view.reason.startswith("R0504") else ""
        lines += ["", f"resume: {accepts}rollout resume {view.run}"]
        if view.state == "halted":
            lines.append(f"abort:  rollout abort {view.run}")
    return "\n".join(map(escaped, lines))


def summary(view: RunView, facts: Facts, width: int) -> str:
    """What became of the run, and where its files are; printed when an apply or resume ends."""
    files = [
        f"audit:  rollout audit verify {view.run}",
        f"head:   {facts.head}",
        f"files:  {facts.run_dir}",
    ]
    text = status(view, facts, width)
    ends_with_commands = text.rpartition("\n")[2].startswith(("resume", "abort"))
    return "\n".join([text, *([] if ends_with_commands else [""]), *files])


def data(view: RunView, facts: Facts) -> dict[str, Any]:
    """The same as plain data, in the same words."""
    return {
        "format_version": "1.0",
        **msgspec.to_builtins(view),
        "state": word(view, facts.holder),
        "run_dir": str(facts.run_dir),
        "plan_digest": facts.plan_digest,
        "emulator": facts.emulated,
        "started_at": format_instant(facts.started_at),
        "updated_at": format_instant(facts.at),
        "holder": facts.holder,
        "head": facts.head,
    }


def classes(counts: Mapping[str, int]) -> str:
    """`437 done + 0 unverified + …`: every class; lines are broken between them only."""
    parts = [f"{counts[name]:,} {name}" for name in CLASSES if name in counts]
    return " + ".join(re.sub("[ _]", "\u00a0", part) for part in parts)


def is_emulated(plan: Plan) -> bool:
    """The run's plan was made against an emulator."""
    return any(identity.emulator for identity in plan.identity)


def word(view: RunView, holder: str) -> str:
    """The state in one word: a run that nobody drives any more is interrupted, not running."""
    return "interrupted" if view.state == "running" and not holder else view.state


def _head(view: RunView, facts: Facts, width: int) -> list[str]:
    took: Duration = facts.at - facts.started_at
    open_wave = next((n for n, wave in enumerate(view.waves) if wave.state == "open"), None)
    parts = [f"{view.run}  {word(view, facts.holder).upper()}"]
    if open_wave is not None:
        parts.append(f"wave {open_wave + 1}/{len(view.waves)} {view.waves[open_wave].name}")
    since = f"since {format_instant(facts.started_at)} ({render.span(took)})"
    lines = ["EMULATOR   no real instance is touched"] if facts.emulated else []
    lines.append(" · ".join(parts))
    lines.append(f"  plan {view.name} {render.short(facts.plan_digest)} · {since}")
    if view.reason:
        stopped = "stopped by " if view.state == "drained" else ""
        lines += render.wrap(f"{stopped}{view.reason}", width, first="  ", rest="    ")
    if facts.holder:
        lines += render.wrap(f"driven now: {facts.holder}", width, first="  ", rest="    ")
    return lines


def _waves(view: RunView) -> list[str]:
    counts = [
        {name: sum(wave.phases.get(one, 0) for one in of) for name, of in _COLUMNS.items()}
        for wave in view.waves
    ]
    names = [name for name in _COLUMNS if name in _ALWAYS or any(one[name] for one in counts)]
    rows = [("wave", "targets", *names, "")]
    for wave, numbers in zip(view.waves, counts, strict=True):
        spelled = [f"{numbers[name]:,}" for name in names]
        rows.append((wave.name, f"{wave.targets:,}", *spelled, wave.state))
    return render.table(rows, "<" + ">" * (len(names) + 1) + "<")


def _permits(view: RunView) -> list[str]:
    if view.state == "closed":
        return []
    down = ", ".join(f"{one.used:,} of {one.cap:,} permits ({one.key})" for one in view.groups)
    return [f"  down {down} · exposed {view.exposed:,} of {view.exposed_max:,}"]


def lane(one: LaneView, at: Instant) -> str:
    """One throttled lane at that instant: its pace, how often it was throttled, and until when it
    pauses.
    """
    learned = f" of {one.quota:,} learned" if one.quota else ""
    pace = f"{one.region} {one.action} {one.per_minute:,}/min{learned}"
    paused = f" · paused until {one.until[11:19]} UTC" if one.until > format_instant(at) else ""
    return f"{pace} · throttled {one.throttled:,}{paused}"


def _sum(view: RunView, width: int) -> list[str]:
    """Found = done + … + excluded, every class named."""
    found = sum(view.classes.values())
    text = f"{found:,} found = {classes(view.classes)}"
    return render.wrap(text, width, first="  ", rest="    ")


def _elsewhere(view: RunView, width: int) -> list[str]:
    """Restarts that this run did not call."""
    found = view.restarted_elsewhere
    if not found:
        return []
    names = ", ".join(found[:ELSEWHERE_SHOWN])
    more = ", …" if len(found) > ELSEWHERE_SHOWN else ""
    text = f"restarted by somebody else during the run: {len(found):,} ({names}{more})"
    return render.wrap(text, width, first="  ", rest="    ")


def _left(view: RunView, width: int) -> list[str]:
    """The instances that need a person, and what that person can do."""
    if not view.left:
        return []
    lines = ["", "Left for a person:"]
    shown = view.left[:LEFT_SHOWN]
    lines += render.table([(one.instance, one.region, one.phase, one.why) for one in shown], "<<<<")
    if len(view.left) > len(shown):
        lines.append(f"  … {len(view.left) - len(shown):,} more: rollout status {view.run} -o ids")
    for word in dict.fromkeys(_next_step(one) for one in view.left):
        step = NEXT_STEP_FOR.get(word) or NEXT_STEP.get(word)
        if step:
            lines += render.wrap(f"{word}: {step}", width, first="  → ", rest="    ")
    return lines


def _next_step(left: Left) -> str:
    """What decides the next step of one instance: its reason where that has one, else its phase."""
    return left.why if left.why in NEXT_STEP_FOR else left.phase


def left_ids(left: tuple[Left, ...]) -> str:
    """The ids of instances that need a person, one a line."""
    return "\n".join(one.instance for one in left)
