"""The JSON Schemas in schemas/ are those of the program, and its output conforms to them.

`python -m tests.cli.views.test_schemas` writes them again after a type changed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest

from rollout.app import events, runs
from rollout.cli.views import render, report, schemas
from tests import golden_journals, golden_plans
from tests.tree import ROOT

MAKERS: dict[str, Callable[[], dict[str, Any]]] = {
    "plan": schemas.plan,
    "event": schemas.event,
    "report": schemas.report,
    "status": schemas.status,
}


def path(kind: str) -> Path:
    """Return the path of the committed schema."""
    return ROOT / "schemas" / f"{kind}.v1.json"


def text(kind: str) -> str:
    """Return the content of the file."""
    return render.as_json(MAKERS[kind](), indent=2) + "\n"


@pytest.mark.parametrize("kind", MAKERS)
def test_the_committed_schema_is_up_to_date(kind: str) -> None:
    """The file equals `rollout schema KIND`, and is a valid schema."""
    assert path(kind).read_text("utf-8") == text(kind)
    jsonschema.Draft202012Validator.check_schema(MAKERS[kind]())


@pytest.mark.parametrize(
    "file", sorted(golden_plans.FOLDER.glob("*.json")), ids=lambda one: one.stem
)
def test_plans_conform(file: Path) -> None:
    """Golden plans, also of former versions, conform."""
    _validator("plan").validate(json.loads(file.read_bytes()))


@pytest.mark.parametrize("ending", sorted(one.name for one in golden_journals.FOLDER.iterdir()))
def test_runs_and_their_events_conform(ending: str, tmp_path: Path) -> None:
    """Every golden run, its report and each of its events conform; a wrong event does not."""
    folder = tmp_path / "runs"
    shutil.copytree(golden_journals.FOLDER / ending, folder)
    folder.chmod(0o700)
    stored = runs.find(folder, None)

    document = json.loads(render.as_json(report.data(*runs.state(stored))))
    lines = [json.loads(msgspec.json.encode(event)) for event in events.read(stored)]

    _validator("status").validate(document)
    _validator("report").validate(document)
    for line in lines:
        _validator("event").validate(line)
    wrong = {**lines[0], "type": "rollout.run.closed"}
    assert not _validator("event").is_valid(wrong)


def _validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(MAKERS[kind]())


if __name__ == "__main__":
    for name in MAKERS:
        path(name).write_text(text(name), "utf-8")
