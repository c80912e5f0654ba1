"""Format a forecast: assumptions, duration, API calls, instances down. Pure."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec

from rollout.app.rehearse import (
    Down,
    Forecast,
    LaneQuota,
    Rehearsal,
    RehearsalSettings,
    RehearsedSeed,
    RunEnding,
    Spread,
)
from rollout.cli.views import render
from rollout.errors import Exit
from rollout.model.plan import Plan
from rollout.model.time import Duration, Instant, format_instant

BARS = " ▁▂▃▄▅▆▇█"
CALL_COLUMNS = ("P50", "throttled", "fullest minute", "in")
OUTCOME_COLUMNS = ("P50", "P90", "most")
PICTURE_ROWS = 4
PICTURE_COLUMNS_MAX = 72
WIDE = 76
"""Minimum width of the terminal to show a region next to the figures."""


def text(plan: Plan, digest: str, rehearsed: Rehearsal, width: int) -> str:
    """Return the forecast as text, for a run that starts when the rehearsal ended."""
    chosen, found, now = rehearsed.chosen, rehearsed.forecast, rehearsed.at
    blocks = [
        _head(plan, digest, chosen, width),
        _duration(found, now, width),
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
        "sources": msgspec.to_builtins(chosen.sources),
        "forecast": msgspec.to_builtins(rehearsed.forecast),
        "seeds": [msgspec.to_builtins(_without_points(one)) for one in rehearsed.results],
    }


def _without_points(one: RehearsedSeed) -> RehearsedSeed:
    """Return the result without its chart, because the chart of one seed is enough."""
    return msgspec.structs.replace(
        one, down=tuple(msgspec.structs.replace(group, points=()) for group in one.down)
    )


def _head(plan: Plan, digest: str, chosen: RehearsalSettings, width: int) -> list[str]:
    seeds = render.count(chosen.seeds, "seed")
    targets = render.count(plan.counts.targets, "target")
    lines = ["EMULATOR   no real instance is changed"] if plan.emulated else []
    title = f"Rehearsal of {plan.name} {render.short(digest)}: {targets}, {seeds}"
    lines += render.wrap(title, width)
    for what, value, why in assumptions(chosen):
        text = f"{what:<8}{value}" + (f" ({why})" if why else "")
        lines += render.wrap(text, width, first="  ", rest=" " * 10)
    if plan.questions():
        lines.append("  gates   open at once (assumed; a rehearsal asks no gate)")
    return lines


def assumptions(chosen: RehearsalSettings) -> list[tuple[str, str, str]]:
    """Return the assumptions, their values and their sources."""
    assumed, sources = chosen.assumed, chosen.sources
    boot = f"{render.span(assumed.boot_ms)} ± {assumed.boot_spread_percent} %"
    quota = "none"
    if assumed.quota is not None:
        quota = f"{assumed.quota:,} calls a minute of each action in each region"
    least, most = (2 * way for way in assumed.latency_ms)
    return [
        ("boot", boot, sources.boot),
        ("quota", quota, sources.quota),
        *(_lane(lane) for lane in sources.lanes),
        ("call", f"{least:,}–{most:,} ms", "assumed"),
        ("faults", chosen.faults or "none", "--faults" if chosen.faults else ""),
        ("seeds", f"{chosen.seeds:,}", sources.seeds),
    ]


def _lane(lane: LaneQuota) -> tuple[str, str, str]:
    """Return a quota that an earlier run reached."""
    where = f"{lane.action} in {lane.region}"
    return "", f"{lane.calls_per_minute:,} {where}", f"run {lane.run} was throttled there"


def _duration(found: Forecast, now: Instant, width: int) -> list[str]:
    took = found.duration_ms
    text = f"Duration {_spread(took)}{counted(found)}."
    if found.seeds > 1:
        text += f" Started now, it ends at {_clock(now, took.p50)} (P50),"
        text += f" {_clock(now, took.p90)} (P90)."
    else:
        text += f" Started now, it ends at {_clock(now, took.p50)}."
    lines = render.wrap(text, width)
    if len(found.waves) > 1:
        rows = waves(found)
        lines += render.table(rows, "<>>>"[: len(rows[0])])
    return lines


def counted(found: Forecast) -> str:
    """Return the seeds that a duration covers, empty if it covers all."""
    if found.ended == found.seeds:
        return ""
    if not found.ended:
        return " until the run stopped, as in every seed"
    return f" in the {share(found.ended, found)} that finished"


def waves(found: Forecast) -> list[tuple[str, ...]]:
    """Return a heading and a row for each wave: its name, when it was closed, and, if not every
    seed closed every wave, the number of seeds that did.
    """
    rows: list[tuple[str, ...]] = [("wave", "closed after", "P90", "seeds")]
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
    parts = (("P50", found.p50), ("P90", found.p90), ("longest", found.most))
    return ", ".join(f"{word} {render.span(value)}" for word, value in parts)


def _clock(now: Instant, after: Duration) -> str:
    return format_instant(now + after)


def _calls(chosen: RehearsalSettings, found: Forecast, width: int) -> list[str]:
    rows = [("API calls", *CALL_COLUMNS), *calls(chosen, found)]
    if width < WIDE:
        rows = [row[:-1] for row in rows]
    return render.table(rows, "<>>><"[: len(rows[0])], indent=0)


def calls(chosen: RehearsalSettings, found: Forecast) -> list[tuple[str, ...]]:
    """Return a row for each action: calls, throttled calls, the busiest minute of one region with
    its quota, and that region.
    """
    rows: list[tuple[str, ...]] = []
    for one in found.calls:
        quota = chosen.assumed.quota_of(one.region, one.action)
        peak = f"{one.peak:,}" if quota is None else f"{one.peak:,} of {quota:,}"
        rows.append((one.action, f"{one.calls.p50:,}", f"{one.throttled.p50:,}", peak, one.region))
    return rows


def down_title(group: Down, most: int) -> str:
    """Return the peak of all seeds and the budget's limit."""
    where = "the fleet" if group.key == "fleet" else group.key
    return f"Down at once in {where}: up to {most:,}, {group.cap:,} allowed"


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
    return f"{seeds:,} of {render.count(found.seeds, 'seed')}"


_MEANING = {Exit.DONE: " (all done)", Exit.SOME_FAILED: " (some failed)"}
"""Exit codes of runs that finished. For other runs, the reason is printed."""


def ending(one: RunEnding, found: Forecast) -> str:
    """Return the exit code of some seeds, and why they stopped."""
    why = f", stopped; the first said {one.example}" if one.reason else ""
    what = _MEANING.get(Exit(one.exit), "")
    return f"apply ends with exit {one.exit}{what} in {share(one.seeds, found)}{why}"


def _outcomes(found: Forecast, width: int) -> list[str]:
    lines = []
    for one in found.endings:
        lines += render.wrap(ending(one, found), width)
    rows = [("instances", *OUTCOME_COLUMNS), *outcomes(found)]
    return [*lines, *render.table(rows, "<>>>")]


def outcomes(found: Forecast) -> list[tuple[str, ...]]:
    """Return a row for each class of instances: its name and its size in the seeds."""
    return [
        (name.replace("_", " "), *(f"{size:,}" for size in (one.p50, one.p90, one.most)))
        for name, one in found.outcomes.items()
        if one.most
    ]
