"""JSON Schemas of the documents that the program writes, generated from its types. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from rollout.cli.views.report import RunFields
from rollout.model import cloud_event
from rollout.model.cloud_event import CloudEvent
from rollout.model.plan import Plan
from rollout.model.view import RunView

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def plan() -> dict[str, Any]:
    """Return the schema of plan files. Instants are milliseconds UTC there."""
    return _document("plan", "A plan file.", msgspec.json.schema(Plan))


def status() -> dict[str, Any]:
    """Return the schema of `rollout status -o json` and `rollout show RUN -o json`."""
    return _run("status", "The state of a run, open or closed.")


def report() -> dict[str, Any]:
    """Return the schema of what `apply`, `resume` and `abort` print with `-o json`."""
    return _run("report", "How a run ended in this process.")


def event() -> dict[str, Any]:
    """Return the schema of one line of `rollout events`: one form of `data` for each type."""
    kinds = sorted(set(cloud_event.TYPES.values()), key=lambda kind: kind.__name__)
    (envelope, *data), parts = msgspec.json.schema_components(
        [CloudEvent, *kinds], ref_template="#/$defs/{name}"
    )
    references = dict(zip(kinds, data, strict=True))
    forms = [
        {
            "if": {"properties": {"type": {"const": name}}},
            "then": {"properties": {"data": references[kind]}},
        }
        for name, kind in cloud_event.TYPES.items()
    ]
    return _document("event", "One event of a run.", {**envelope, "allOf": forms, "$defs": parts})


def _run(name: str, description: str) -> dict[str, Any]:
    (view, fields), parts = msgspec.json.schema_components(
        [RunView, RunFields], ref_template="#/$defs/{name}"
    )
    return _document(name, description, {"allOf": [view, fields], "$defs": parts})


def _document(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    head = {"$schema": DIALECT, "$id": f"{name}.v1.json", "description": description}
    return {**head, **schema}
