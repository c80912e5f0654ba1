"""Format a forecast in the current language: assumptions, duration, API calls, instances down."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec

from rollout.app.rehearse import (
    AssumptionSources,
    Down,
    Forecast,
    LaneQuota,
    Rehearsal,
    RehearsalSettings,
    RehearsedSeed,
    RunEnding,
    Spread,
)
from rollout.cli.language import tr, translated
from rollout.cli.views import render, run_words
from rollout.errors import Exit
from rollout.model.phrase import Phrase, Wording, say, say_many
from rollout.model.plan import Plan
from rollout.model.spec import WaveGate
from rollout.model.time import Instant, format_instant

BARS = " ▁▂▃▄▅▆▇█"
PICTURE_ROWS = 4
PICTURE_COLUMNS_MAX = 72
WIDE = 76
"""Minimum width of the terminal to show a region next to the figures."""


def text(plan: Plan, digest: str, rehearsed: Rehearsal, width: int) -> str:
    """Return the forecast as text, for a run that starts when the rehearsal ended."""
    chosen, found, now = rehearsed.chosen, rehearsed.forecast, rehearsed.at
    blocks = [
        _head(plan, digest, chosen, width),
        _duration(plan, found, now, width),
        _calls(chosen, found, width),
        *(down(one, most, width) for one, most in zip(found.down, found.down_most, strict=True)),
        _outcomes(found, width),
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def data(plan: Plan, digest: str, rehearsed: Rehearsal) -> dict[str, Any]:
    """Return the same as plain data, with each seed."""
    chosen = rehearsed.chosen
    return {
        "format_version": "1.0",
        "plan": plan.name,
        "digest": digest,
        "emulator": plan.emulated,
        "assumed": msgspec.to_builtins(chosen.assumed),
        "sources": _sources(chosen.sources),
        "forecast": msgspec.to_builtins(rehearsed.forecast),
        "seeds": [msgspec.to_builtins(_without_points(one)) for one in rehearsed.results],
    }


def _sources(sources: AssumptionSources) -> dict[str, Any]:
    return {
        "boot": str(sources.boot),
        "quota": str(sources.quota),
        "lanes": msgspec.to_builtins(sources.lanes),
        "seeds": str(sources.seeds),
    }


def _without_points(one: RehearsedSeed) -> RehearsedSeed:
    """Return the result without its chart, because the chart of one seed is enough."""
    return msgspec.structs.replace(
        one, down=tuple(msgspec.structs.replace(group, points=()) for group in one.down)
    )


def _head(plan: Plan, digest: str, chosen: RehearsalSettings, width: int) -> list[str]:
    lines = [f"EMULATOR   {tr('no real instance is changed')}"] if plan.emulated else []
    title = tr(
        "Rehearsal of {name} {digest}: {targets}, {seeds}",
        name=plan.name,
        digest=render.short(digest),
        targets=say_many("{number:,} target", "{number:,} targets", plan.counts.targets),
        seeds=_seeds(chosen.seeds),
    )
    lines += render.wrap(title, width)
    for what, value, why in assumptions(plan, chosen):
        source = tr("{value} ({source})", value=value, source=why) if why else value
        first = "  " + render.padded(what, 8)
        lines += render.wrap(source, width, first=first, rest=" " * 10)
    return lines


def _seeds(number: int) -> Phrase:
    return say_many("{number:,} seed", "{number:,} seeds", number)


def assumptions(plan: Plan, chosen: RehearsalSettings) -> list[tuple[str, str, str]]:
    """Return the assumptions, their values and their sources."""
    assumed, sources = chosen.assumed, chosen.sources
    boot = f"{render.span(assumed.boot_ms)} ± {assumed.boot_spread_percent} %"
    quota = tr("none")
    if assumed.quota is not None:
        quota = tr("{quota:,} calls a minute of each action in each region", quota=assumed.quota)
    least, most = (2 * way for way in assumed.latency_ms)
    return [
        (tr("boot"), boot, translated(sources.boot)),
        (tr("quota"), quota, translated(sources.quota)),
        *(_lane(lane) for lane in sources.lanes),
        (tr("call"), f"{least:,}–{most:,} ms", tr("assumed")),
        (tr("faults"), chosen.faults or tr("none"), "--faults" if chosen.faults else ""),
        (tr("seeds"), f"{chosen.seeds:,}", translated(sources.seeds)),
        *_gates(plan),
    ]


def _gates(plan: Plan) -> list[tuple[str, str, str]]:
    """Return what is assumed of the gates: of the questions, and of the manual ones."""
    rows: list[tuple[str, str, str]] = []
    if plan.questions():
        rows.append((tr("gates"), tr("open at once"), tr("assumed; a rehearsal asks no gate")))
    if any(wave.gate is WaveGate.MANUAL for wave in plan.waves):
        rows.append(("" if rows else tr("gates"), tr("manual: promoted at once"), tr("assumed")))
    return rows


def _lane(lane: LaneQuota) -> tuple[str, str, str]:
    """Return a quota that an earlier run reached."""
    pace = tr(
        "{number:,} {action} in {region}",
        number=lane.calls_per_minute,
        action=lane.action,
        region=lane.region,
    )
    return "", pace, tr("run {run} was throttled there", run=lane.run)


def _duration(plan: Plan, found: Forecast, now: Instant, width: int) -> list[str]:
    """Return the duration and the end. A rehearsal begins when the plan was made; without windows,
    a run that begins now takes as long.
    """
    took = found.duration_ms
    fixed = plan.intervals is not None
    begin = plan.made_at if fixed else now
    start = tr("Started at {time}", time=format_instant(begin)) if fixed else tr("Started now")
    p50, p90 = format_instant(begin + took.p50), format_instant(begin + took.p90)
    end = tr("{start}, it ends at {time}.", start=start, time=p50)
    if found.seeds > 1:
        end = tr("{start}, it ends at {half} (P50), {most} (P90).", start=start, half=p50, most=p90)
    lines = render.wrap(f"{duration(_spread(took), found)} {end}", width)
    if len(found.waves) > 1:
        rows = waves(found)
        lines += render.table(rows, "<>>>"[: len(rows[0])])
    return lines


def duration(span: str, found: Forecast) -> str:
    """Return the sentence about a duration, and which seeds it covers if it does not cover all."""
    if found.ended == found.seeds:
        return tr("Duration {span}.", span=span)
    if not found.ended:
        return tr("Duration {span} until the run stopped, as in every seed.", span=span)
    return tr(
        "Duration {span} in the {seeds} that finished.", span=span, seeds=share(found.ended, found)
    )


def waves(found: Forecast) -> list[tuple[str, ...]]:
    """Return a heading and a row for each wave: its name, when it was closed, and, if not every
    seed closed every wave, the number of seeds that did.
    """
    heads = (tr("wave"), tr("closed after"), "P90", tr("seeds"))
    rows: list[tuple[str, ...]] = [heads]
    for wave in found.waves:
        after = wave.after_ms
        rows.append((wave.name, render.span(after.p50), render.span(after.p90), f"{wave.seeds:,}"))
    if all(wave.seeds == found.seeds for wave in found.waves):
        rows = [row[:-1] for row in rows]
    return rows


def _spread(found: Spread) -> str:
    """Return `P50 14 m, P90 15 m, longest 16 m`, or one figure if all are equal."""
    if found.p50 == found.most:
        return render.span(found.p50)
    parts = (("P50", found.p50), ("P90", found.p90), (tr("longest"), found.most))
    return ", ".join(f"{word} {render.span(value)}" for word, value in parts)


def _calls(chosen: RehearsalSettings, found: Forecast, width: int) -> list[str]:
    rows = [(tr("API calls"), *call_columns()), *calls(chosen, found)]
    if width < WIDE:
        rows = [row[:-1] for row in rows]
    return render.table(rows, "<>>><"[: len(rows[0])], indent=0)


def call_columns() -> tuple[str, ...]:
    """Return the headings of what `calls` returns, without that of the actions."""
    return "P50", tr("throttled"), tr("fullest minute"), tr("in")


def calls(chosen: RehearsalSettings, found: Forecast) -> list[tuple[str, ...]]:
    """Return a row for each action: calls, throttled calls, the busiest minute of one region with
    its quota, and that region.
    """
    rows: list[tuple[str, ...]] = []
    for one in found.calls:
        quota = chosen.assumed.quota_of(one.region, one.action)
        peak = f"{one.peak:,}"
        if quota is not None:
            peak = tr("{peak:,} of {quota:,}", peak=one.peak, quota=quota)
        rows.append((one.action, f"{one.calls.p50:,}", f"{one.throttled.p50:,}", peak, one.region))
    return rows


def down_title(group: Down, most: int) -> str:
    """Return the peak of all seeds and the budget's limit."""
    where: Wording = say("the fleet") if group.key == "fleet" else group.key
    return tr(
        "Down at once in {group}: up to {most:,}, {allowed:,} allowed",
        group=where,
        most=most,
        allowed=group.cap,
    )


def down(group: Down, most: int, width: int) -> list[str]:
    """Return a chart of the permits in use over time, with their cap."""
    lines = render.wrap(down_title(group, most), width)
    label = len(f"{group.cap:,}") + 2
    columns = min(width - label - 2, PICTURE_COLUMNS_MAX)
    points = squeeze(group.points, columns)
    for row in range(PICTURE_ROWS, 0, -1):
        mark = f"{group.cap:,}" if row == PICTURE_ROWS else "0" if row == 1 else ""
        lines.append(
            f"{mark:>{label}} │{''.join(_bar(one, group.cap, row) for one in points)}".rstrip()
        )
    end = render.span(group.step_ms * len(group.points))
    lines.append(f"{'':>{label}} └{'─' * max(0, len(points) - len(end) - 1)} {end}")
    return lines


def squeeze(points: tuple[int, ...], columns: int) -> list[int]:
    """Reduce to a maximum number of columns, each with the largest of its points."""
    if len(points) <= columns:
        return list(points)
    edges = [at * len(points) // columns for at in range(columns + 1)]
    return [max(points[low:high]) for low, high in pairwise(edges)]


def _bar(value: int, cap: int, row: int) -> str:
    """Return one character of a column in eighths of a row. Values above 0 are visible."""
    eighths = -(-value * PICTURE_ROWS * 8 // max(1, cap))
    return BARS[min(8, max(0, eighths - (row - 1) * 8))]


def share(seeds: int, found: Forecast) -> str:
    """Return a number of seeds with the total."""
    return tr("{number:,} of {seeds}", number=seeds, seeds=_seeds(found.seeds))


_MEANING = {Exit.DONE: say("all done"), Exit.SOME_FAILED: say("some failed")}
"""Exit codes of runs that finished. For other runs, the reason is printed."""


def ending(one: RunEnding, found: Forecast) -> str:
    """Return the exit code of some seeds, and why they stopped."""
    code: Wording = str(one.exit)
    if Exit(one.exit) in _MEANING:
        code = say("{code} ({meaning})", code=code, meaning=_MEANING[Exit(one.exit)])
    text = tr("apply ends with exit {code} in {seeds}", code=code, seeds=share(one.seeds, found))
    if not one.reason:
        return text
    return tr("{text}, stopped; the first said {reason}", text=text, reason=one.example)


def _outcomes(found: Forecast, width: int) -> list[str]:
    lines = []
    for one in found.endings:
        lines += render.wrap(ending(one, found), width)
    rows = [(tr("instances"), *outcome_columns()), *outcomes(found)]
    return [*lines, *render.table(rows, "<>>>")]


def outcome_columns() -> tuple[str, ...]:
    """Return the headings of what `outcomes` returns, without that of the classes."""
    return "P50", "P90", tr("most")


def outcomes(found: Forecast) -> list[tuple[str, ...]]:
    """Return a row for each class of instances: its name and its size in the seeds."""
    return [
        (run_words.class_name(name), *(f"{size:,}" for size in (one.p50, one.p90, one.most)))
        for name, one in found.outcomes.items()
        if one.most
    ]
