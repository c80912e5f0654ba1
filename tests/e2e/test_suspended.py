"""A machine that is suspended between an observation and the call that depends on it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.stage import stage
from tests.e2e.suspended import FOREIGN

SUSPENDED = Path(__file__).with_name("suspended.py")
SIZE = 12


@pytest.mark.parametrize("how", ["suspend", "pause"])
def test_no_attach_is_sent_after_a_suspension(tmp_path: Path, how: str) -> None:
    """Keys that other operators attached during a suspension are not overwritten, whether the
    steady clock counted the time or only the wall clock was set afterwards.
    """
    with stage(tmp_path, size=SIZE) as scene:
        scene.write_spec("spec")
        assert scene.run("plan", "spec.yaml", "--out", "plan.json").returncode == 0

        program = (sys.executable, str(SUSPENDED), how)
        applied = scene.run("apply", "plan.json", program=program)

        attaches = [row for row in scene.admin("ledger") if row["effect"] == "attach"]
    foreign = {row["instance"] for row in attaches if row["key_pair"] == FOREIGN}
    ours = {row["instance"] for row in attaches if row["key_pair"] != FOREIGN}
    assert foreign, applied.stderr
    assert not ours & foreign, f"overwritten: {sorted(ours & foreign)}"
