"""Two persons approve a plan; only then it is applied, and the audit log proves it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.stage import stage
from tests.e2e.test_stopping import run_id


def test_a_plan_is_applied_only_after_its_approvals(tmp_path: Path) -> None:
    """From the keys to the verified audit log; plans of an undo need approvals too."""
    with stage(tmp_path, size=20) as made:
        for name in ("li.wei", "secops"):
            key = made.run("approve", "--new-key", name, "--out", f"keys/{name}")
            assert key.returncode == 74, "the folder does not exist yet"
        spec = made.write_spec("fleet", max_down="100%")
        for name in ("li.wei", "secops"):
            assert made.run("approve", "--new-key", name, "--out", f"keys/{name}").returncode == 0
        rule = "  approvals: { required: 2, keys: [keys/li.wei.vkey, keys/secops.vkey] }\n"
        spec.write_text(spec.read_text() + rule)

        direct = made.run("apply", "fleet.yaml", "--confirm", "fleet")
        assert direct.returncode == 7 and "R0704" in direct.stderr, direct.stderr
        planned = made.run("plan", "fleet.yaml", "--out", "fleet.plan.json")
        assert "Needs 2 approvals by li.wei+" in planned.stdout, planned.stdout + planned.stderr
        assert made.run("apply", "fleet.plan.json").returncode == 7
        first = made.run("approve", "fleet.plan.json", "--key", "keys/li.wei", "--comment", "CHG-1")
        assert "1 of 2 required" in first.stdout, first.stderr
        assert made.run("apply", "fleet.plan.json").returncode == 7
        assert not made.restarts(), "nothing was changed so far"

        second = made.run("approve", "fleet.plan.json", "--key", "keys/secops", "-o", "json")
        assert json.loads(second.stdout)["approved"][0].startswith("li.wei+")
        applied = made.run("apply", "fleet.plan.json")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        run = run_id(applied.stdout)
        assert made.wrong("fleet.plan.json", down_max=20) == ""
        audit = " ".join(made.run("audit", "show", run).stdout.split())
        assert "approved the plan: CHG-1" in audit
        verified = made.run("audit", "verify", run)
        assert verified.returncode == 0, verified.stderr
        assert "2 of 2 required, signatures valid: li.wei+" in verified.stdout

        undo = made.run("undo", run, "--out", "undo.plan.json")
        assert "Needs 2 approvals" in undo.stdout, undo.stdout + undo.stderr
        assert made.run("apply", "undo.plan.json").returncode == 7
