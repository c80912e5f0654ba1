"""Plan format 1.0: plans of released versions stay readable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec import UNSET

from rollout.app import plan_file
from rollout.model import plan as plans
from rollout.model.plan import Plan, Reason, RestartKind
from rollout.model.spec import Calls
from tests import golden_plans

FILES = sorted(golden_plans.FOLDER.glob("*.plan.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition(".")[0])
def test_a_golden_plan_is_read_and_written_unchanged(path: Path) -> None:
    """The digest matches, the fields are consistent, and the current code writes the same bytes."""
    saved = plan_file.load_plan(path)

    assert saved.plan.format_version == "1.0"
    assert plans.encode(saved.plan) == path.read_bytes()
    sidecar = path.with_name(f"{path.name}.sha256").read_text()
    assert sidecar == f"{saved.digest.removeprefix('sha256:')}  {path.name}\n"


def test_each_shape_has_a_golden_plan() -> None:
    """Every form has a golden plan. Without a file no test reads it; `python -m tests.golden_plans
    NAME` writes it.
    """
    shapes = {shape.__name__ for shape in golden_plans.SHAPES}

    assert {path.name.partition(".")[0] for path in FILES} == shapes


def test_the_golden_plans_cover_all_values() -> None:
    """The golden plans include every exclusion reason, both restarts, both kinds of restart calls,
    several keys, an imported key pair, and emulated, live and offline plans.
    """
    made = [plan_file.load_plan(path).plan for path in FILES]

    assert {out.reason for plan in made for out in plan.exclusions} == set(Reason)
    assert {kind for plan in made for kind in _restarts(plan)} == set(RestartKind)
    assert {plan.calls for plan in made} == set(Calls)
    assert {len(plan.keys) for plan in made} == {1, 2}
    assert {one.present for plan in made for key in plan.keys for one in key.regions} == {
        True,
        False,
    }
    assert {one.emulator for plan in made for one in plan.identity} == {True, False}
    assert {plan.applyable for plan in made} == {True, False}


def test_the_golden_plans_cover_all_fields() -> None:
    """Every optional field of a plan is in a golden plan, so that no later version loses it."""
    optional = {
        field.encode_name for field in msgspec.structs.fields(Plan) if field.default is UNSET
    }
    found = {name for path in FILES for name in msgspec.json.decode(path.read_bytes())}

    assert optional - found == set()


def _restarts(plan: Plan) -> Iterator[RestartKind]:
    return (target.restart for target in plan.targets())
