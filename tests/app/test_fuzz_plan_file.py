"""Any plan file is either the saved plan or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from rollout.app import plan_file
from rollout.cli.errors import rendering
from rollout.errors import RolloutError
from rollout.model import plan as plans
from tests.app import factory
from tests.fuzz import edited, fuzzed

RAW = plans.encode(factory.plan(40)).decode()


@fuzzed
@given(edited(RAW))
def test_no_plan_file_crashes_its_reader(tmp_path: Path, content: bytes) -> None:
    """Random bytes with their own digest never crash the reader."""
    path = tmp_path / "fleet.plan.json"
    path.write_bytes(content)
    try:
        found = plan_file.load_plan(path, plans.digest(content))
    except RolloutError as error:
        rendering.render(error).encode()
    else:
        assert found.raw == content


@fuzzed
@given(edited("0" * 64 + "  fleet.plan.json\n"))
def test_no_digest_file_crashes_its_reader(tmp_path: Path, content: bytes) -> None:
    """A digest file with random bytes never accepts another plan."""
    saved = plan_file.with_digest(factory.plan(40))
    path, digest = tmp_path / "fleet.plan.json", tmp_path / "fleet.plan.json.sha256"
    digest.unlink(missing_ok=True)  # of the case before: what is no digest is not replaced
    plan_file.save_plan(saved, path)
    digest.write_bytes(content)

    with pytest.raises(RolloutError):
        plan_file.load_plan(path)


@pytest.mark.parametrize("name", ["\udcc2\udcd6", "a\nb", "a\\b", "\\", "a b"])
def test_a_plan_is_saved_under_any_name(tmp_path: Path, name: str) -> None:
    """Names that are not UTF-8, and names that `sha256sum` escapes."""
    saved, path = plan_file.with_digest(factory.plan(40)), tmp_path / f"{name}.plan.json"

    plan_file.save_plan(saved, path)

    assert plan_file.load_plan(path).digest == saved.digest
