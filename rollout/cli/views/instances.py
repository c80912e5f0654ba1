"""Format instances of a plan or a run as text or plain data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from rollout.app.audit import AuditEntry
from rollout.cli.language import tr, translated
from rollout.cli.views import audit, render, run_words
from rollout.model.printable import escaped
from rollout.model.time import format_instant
from rollout.model.view import InstanceView


def life(view: InstanceView, entries: Iterable[AuditEntry], width: int) -> str:
    """Return one instance of a run as text: its state, why it waits, and its events."""
    events = list(entries)
    state = run_words.phase(view.phase, down=view.down)
    if events:
        state = tr("{state} since {time}", state=state, time=format_instant(events[-1].at))
    place, image = f"{view.region} {view.zone}", tr("image {image}", image=view.image)
    about = place, image, " ".join(view.os_name.split()), view.instance_type
    permit = f" · {tr('has a permit')}" if view.permit else ""
    lines = [
        f"{view.instance}  {state} · {tr('wave {name}', name=view.wave)}",
        *render.wrap(" · ".join(filter(None, about)), width, first="  ", rest="    "),
        tr("  groups: {groups}", groups=", ".join(view.groups)) + permit,
    ]
    if view.cause:
        lines += render.wrap(tr("cause: {cause}", cause=view.cause), width, first="  ", rest="    ")
    if not view.waits.startswith("nothing"):
        lines += render.wrap(
            tr("waits {reason}", reason=view.waits), width, first="  ", rest="    "
        )
    return "\n".join([*map(escaped, lines), "", *(audit.text(one, width) for one in events)])


def life_data(view: InstanceView, entries: Iterable[AuditEntry]) -> dict[str, Any]:
    """Return the same as plain data."""
    events = [audit.data(one) for one in entries]
    return {"format_version": "1.0", **msgspec.to_builtins(view), "entries": events}


def table(rows: Iterable[Mapping[str, Any]], columns: int | None) -> str:
    """Return rows as a table; the names of their fields are the heading."""
    found = [{name: _cell(name, value) for name, value in row.items()} for row in rows]
    names = list(dict.fromkeys(name for row in found for name in row))
    cells = [[row.get(name, "-") for name in names] for row in found]
    lines = render.table([render.heading(names), *cells], "<" * len(names), indent=0)
    return "\n".join(render.fit(escaped(line), columns) for line in lines)


def _cell(name: str, value: object) -> str:
    if name == "detail":
        return translated(str(value))
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}"
