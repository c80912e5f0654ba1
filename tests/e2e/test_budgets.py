"""Budgets by group through the real command line, judged by the emulator's hidden ledger."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

from tests import tree
from tests.e2e.stage import Stage, stage
from tests.e2e.test_stopping import change, run_id

FLEET = """\
- { count: 3, region: cn-hangzhou, tags: { quorum: db } }
- { count: 6, region: cn-hangzhou, status: Stopped, tags: { app: web } }
"""


def _members(made: Stage) -> set[str]:
    """The members of the quorum, by the plan."""
    plan = json.loads((made.folder / "quorum.plan.json").read_bytes())
    [quorum] = [n for n, one in enumerate(plan["groups"]) if one["key"] == "tag:quorum=db"]
    cells = [cell for wave in plan["waves"] for cell in wave["cells"]]
    targets = [one for cell in cells for batch in cell["batches"] for one in batch["targets"]]
    return {one["instance"] for one in targets if quorum in one["groups"]}


def _planned(made: Stage) -> None:
    spec = made.write_spec("quorum", regions="cn-hangzhou", max_down="100%")
    text = spec.read_text().replace("    - { name: canary, size: 3 }\n", "")
    budget = '  budgets:\n    - { by: "tag:quorum", maxDown: 1 }\n'
    spec.write_text(text.replace("  budgets:\n", budget))
    planned = made.run("plan", "quorum.yaml", "--out", "quorum.plan.json")
    assert planned.returncode == 0, planned.stderr
    assert "at most 1 of any tag:quorum (1 group, 3 members)" in planned.stdout


def test_no_second_member_goes_down_while_one_of_a_quorum_is_in_doubt(tmp_path: Path) -> None:
    """The member in doubt keeps its permit: the others are held and named in the audit log, the
    rest of the fleet is rotated, and after the doubt is resolved they restart one at a time.
    """
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET)
    options = ("--fleet", str(fleet), "--boot-time", "3s")
    with stage(tmp_path, size=None, options=options) as made:
        change(made, "switches", {"start_time_moves_on_reboot": False})
        _planned(made)
        members = _members(made)
        apply = made.begin("apply", "quorum.plan.json", "--no-input")
        while not made.admin("ledger"):  # the dry runs are over
            assert apply.poll() is None, apply.communicate()
            time.sleep(0.05)
        made.arm({"fault": "lost_before", "probability": 1, "actions": ["RebootInstance"]})
        out, err = apply.communicate(timeout=90)
        assert apply.returncode == 5, out + err
        run = run_id(out)
        doubt = re.search(r"(i-\w+) .*in_doubt", out)
        assert doubt and doubt[1] in members, out
        assert not members & made.restarts().keys()
        assert len(made.restarts()) == 6, "the other instances were started"
        shown = made.run("status", run).stdout
        assert "1 of 1 permits (tag:quorum=db)" in shown, shown
        audit = made.run("audit", "show", run).stdout
        assert f"budget_held by {doubt[1]}" in audit, audit

        made.disarm()
        words = ("resolve", run, "--instance", doubt[1], "--untouched", "--reason", "uptime")
        assert made.run(*words).returncode == 0
        resumed = made.run("resume", run)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert made.wrong("quorum.plan.json", down_max=1) == ""
        verified = made.run("audit", "verify", run)
        assert verified.returncode == 0 and "at most 1 of 1 (tag:quorum=db)" in verified.stdout


def test_the_production_example_validates_and_plans(tmp_path: Path) -> None:
    """The example with every field is valid and gives a plan for the emulated fleet, with a cap
    for each of its budgets.
    """
    shutil.copytree(tree.ROOT / "plans", tmp_path / "plans")
    with stage(tmp_path, size=600) as made:
        assert made.run("validate", "plans/production.yaml").returncode == 0
        planned = made.run(
            *("plan", "plans/production.yaml", "--max-age", "168h", "--out", "prod.plan.json")
        )
        assert planned.returncode == 0, planned.stderr
        plan = json.loads((tmp_path / "prod.plan.json").read_bytes())
        assert [one["by"] for one in plan["budgets"]] == ["fleet", "tag:app", "tag:quorum"]
        assert {group["budget"] for group in plan["groups"]} == {0, 1, 2}
        assert all(group["cap"] for group in plan["groups"])
