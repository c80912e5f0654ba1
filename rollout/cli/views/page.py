"""Render a forecast as one self-contained HTML page without scripts. Pure.

Colors follow the reader's light or dark scheme; a word or a number always repeats their meaning.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from rollout.app.rehearse import Down, Forecast, Rehearsal, RehearsalSettings, RehearsedSeed
from rollout.cli.language import current, tr
from rollout.cli.views import forecast, render
from rollout.model.phrase import say_many
from rollout.model.plan import Plan
from rollout.model.printable import escaped
from rollout.model.time import Duration, Instant, format_instant

_GENERATOR = '<meta name="generator" content="rollout rehearse">'
_HEAD_BYTES = 1_000
"""The first bytes of a page, which contain the generator."""
WIDTH, HEIGHT = 720, 180
"""Units of a chart, which is as wide as the page."""

_STYLE = """\
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5d6b7a; --line: #d5dbe2;
  --paper: #fff; --fill: #2f6fb3; --cap: #b3402f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --dim: #9aa7b5; --line: #37414d;
  --paper: #151a21; --fill: #5f9de0; --cap: #e57f6c; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p, li { overflow-wrap: anywhere; }
p.dim, caption, th { color: var(--dim); } .emulator { color: var(--cap); font-weight: bold; }
dl.figures { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; } dl.figures div { min-width: 7rem; }
dt { color: var(--dim); } dd { margin: 0; font-size: 1.6rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .2rem 1.2rem .2rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--dim); font-size: 12px; }
.area { fill: var(--fill); } .cap { stroke: var(--cap); stroke-dasharray: 6 4; }
.axis { stroke: var(--line); } .dot { fill: var(--fill); fill-opacity: .5; }"""


def page(plan: Plan, digest: str, rehearsed: Rehearsal) -> str:
    """Return the document."""
    chosen, found = rehearsed.chosen, rehearsed.forecast
    parts = [
        _head(plan, digest, found),
        _figures(found),
        _section(
            tr("Assumed"),
            _table((tr("what"), tr("value"), tr("from")), forecast.assumptions(plan, chosen)),
        ),
        *(
            _section(forecast.down_title(one, most), _down(one))
            for one, most in zip(found.down, found.down_most, strict=True)
        ),
        _section(tr("Durations of all seeds"), _dots(found, rehearsed.results)),
        _section(tr("Waves"), _waves(found)) if len(found.waves) > 1 else "",
        _section(tr("API calls"), _calls(chosen, found)),
        _section(tr("Outcomes"), _outcomes(found)),
        _foot(plan, rehearsed.at),
    ]
    title = _text(tr("Rehearsal of {name}", name=plan.name))
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="{current()}">\n<head>\n<meta charset="utf-8">\n'
        f'{_GENERATOR}\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def is_page(path: Path) -> bool:
    """Return whether a file is a page of a rehearsal."""
    with path.open("rb") as file:
        return _GENERATOR.encode() in file.read(_HEAD_BYTES)


def _head(plan: Plan, digest: str, found: Forecast) -> str:
    emulated = (
        f'<p class="emulator">EMULATOR: {_text(tr("no real instance is changed"))}</p>\n'
        if plan.emulated
        else ""
    )
    about = tr(
        "{targets}, {seeds} · plan {digest}",
        targets=say_many("{number:,} target", "{number:,} targets", plan.counts.targets),
        seeds=say_many("{number:,} seed", "{number:,} seeds", found.seeds),
        digest=digest,
    )
    title = tr("Rehearsal of {name}", name=plan.name)
    return f'{emulated}<h1>{_text(title)}</h1>\n<p class="dim">{_text(about)}</p>'


def _foot(plan: Plan, now: Instant) -> str:
    text = tr(
        "{tool}, rehearsed {time}. No API calls were made.",
        tool=plan.tool,
        time=format_instant(now),
    )
    return f'<p class="dim">{_text(text)}</p>'


def _figures(found: Forecast) -> str:
    took = found.duration_ms
    figures = [
        (tr("Duration, P50"), render.span(took.p50)),
        ("P90", render.span(took.p90)),
        (tr("longest"), render.span(took.most)),
        *(
            (tr("exit {code}", code=exit_), forecast.share(seeds, found))
            for exit_, seeds in _exits(found).items()
        ),
    ]
    rows = (f"<div><dt>{_text(what)}</dt><dd>{_text(value)}</dd></div>" for what, value in figures)
    covers = ""
    if found.ended != found.seeds:
        duration = forecast.duration(render.span(took.p50), found)
        covers = f'\n<p class="dim">{_text(duration)}</p>'
    return f'<dl class="figures">{"".join(rows)}</dl>{covers}'


def _exits(found: Forecast) -> Counter[int]:
    """Return the number of seeds by exit code."""
    seeds: Counter[int] = Counter()
    for one in found.endings:
        seeds[one.exit] += one.seeds
    return seeds


def _section(title: str, inside: str) -> str:
    return f"<section>\n<h2>{_text(title)}</h2>\n{inside}\n</section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: range = range(0)) -> str:
    """Return a table; `numbers` are the right-aligned columns."""

    def line(tag: str, cells: Sequence[str]) -> str:
        marks = [' class="number"' if at in numbers else "" for at in range(len(cells))]
        texts = zip(marks, cells, strict=True)
        return f"<tr>{''.join(f'<{tag}{mark}>{_text(cell)}</{tag}>' for mark, cell in texts)}</tr>"

    body = "\n".join(line("td", row) for row in rows)
    return (
        f'<div class="scroll"><table>\n<thead>{line("th", head)}</thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _down(group: Down) -> str:
    """Draw the permits in use over time as steps, and their cap as a line."""
    top = max(group.cap, group.peak, 1)
    across = WIDTH / max(1, len(group.points))
    heights = [HEIGHT * (1 - point / top) for point in group.points]
    steps = [f"M0 {HEIGHT}", f"V{heights[0]:.1f}" if heights else ""]
    for number, (before, after) in enumerate(pairwise(heights), 1):
        if before != after:
            steps.append(f"H{number * across:.1f}V{after:.1f}")
    steps.append(f"H{WIDTH}V{HEIGHT}Z")
    cap = HEIGHT * (1 - group.cap / top)
    end = render.span(group.step_ms * len(group.points))
    label = tr(
        "Most at once {peak:,} of {allowed:,} allowed, over {span}",
        peak=group.peak,
        allowed=group.cap,
        span=end,
    )
    allowed = _text(tr("{number:,} allowed", number=group.cap))
    return (
        f'<svg viewBox="0 -14 {WIDTH} {HEIGHT + 36}" role="img" aria-label="{_text(label)}">\n'
        f'<path class="area" d="{"".join(steps)}"/>\n'
        f'<path class="cap" d="M0 {cap:.1f}H{WIDTH}"/>\n'
        f'<path class="axis" d="M0 {HEIGHT}H{WIDTH}"/>\n'
        f'<text x="0" y="{cap - 4:.1f}">{allowed}</text>\n'
        f'<text x="0" y="{HEIGHT + 16}">0</text>\n'
        f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{_text(end)}</text>\n</svg>'
    )


def _dots(found: Forecast, results: Sequence[RehearsedSeed]) -> str:
    """Draw one dot for each seed, from the shortest to the longest duration."""
    least = min(one.duration_ms for one in results)
    most = max(one.duration_ms for one in results)

    def x(duration: Duration) -> float:
        return 10 + (WIDTH - 20) * (duration - least) / max(1, most - least)

    dots = "".join(
        f'<circle class="dot" cx="{x(one.duration_ms):.1f}" cy="12" r="6">'
        f"<title>{_text(_seed(one))}</title>"
        "</circle>"
        for one in results
    )
    label = tr(
        "{least} to {most}, P50 {half}",
        least=render.span(least),
        most=render.span(most),
        half=render.span(found.duration_ms.p50),
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} 44" role="img" aria-label="{_text(label)}">\n{dots}\n'
        f'<text x="0" y="40">{_text(render.span(least))}</text>\n'
        f'<text x="{WIDTH}" y="40" text-anchor="end">{_text(render.span(most))}</text>\n</svg>'
    )


def _seed(one: RehearsedSeed) -> str:
    return tr(
        "seed {seed}: {span}, exit {code}",
        seed=one.seed,
        span=render.span(one.duration_ms),
        code=one.exit,
    )


def _waves(found: Forecast) -> str:
    head, *rows = forecast.waves(found)
    return _table(head, rows, range(1, len(head)))


def _calls(chosen: RehearsalSettings, found: Forecast) -> str:
    head = (tr("action"), *forecast.call_columns())
    return _table(head, forecast.calls(chosen, found), range(1, 4))


def _outcomes(found: Forecast) -> str:
    reasons = "".join(f"<li>{_text(forecast.ending(one, found))}</li>" for one in found.endings)
    head = (tr("instances"), *forecast.outcome_columns())
    return f"<ul>{reasons}</ul>\n{_table(head, forecast.outcomes(found), range(1, 4))}"


def _text(value: str) -> str:
    """Escape text for the page: markup, and characters that could reorder or hide text."""
    return html.escape(escaped(value))
