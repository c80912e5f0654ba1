"""Bastions restart after all others, through the real command line and the hidden ledger."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.stage import stage
from tests.e2e.test_stopping import run_id, write_spec

FLEET = "- { count: 3, tags: { role: bastion } }\n- { count: 4, tags: { role: web } }\n"
LAST = "  last:\n    - { select: role=bastion, reason: others need them }\n  budgets:\n"


def test_bastions_restart_last_and_one_at_a_time(tmp_path: Path) -> None:
    """I-83: The preview names the bastions, the ledger shows their restarts after all others and
    never two bastions down, and the audit log passes its verification.
    """
    (tmp_path / "fleet.yaml").write_text(FLEET)
    options = ("--fleet", str(tmp_path / "fleet.yaml"), "--boot-time", "300ms")
    with stage(tmp_path, size=None, options=options) as made:
        write_spec(made, "bast", max_down="100%")
        spec = tmp_path / "bast.yaml"
        spec.write_text(spec.read_text().replace("  budgets:\n", LAST))
        planned = made.run("plan", "bast.yaml", "--out", "bast.plan.json")
        assert planned.returncode == 0, planned.stderr
        [line] = [line for line in planned.stdout.splitlines() if "one at a time:" in line]
        bastions = {word.strip(",.") for word in line.split() if word.startswith("i-")}
        assert len(bastions) == 3

        applied = made.run("apply", "bast.plan.json", "--no-input")

        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert made.down_at_most(bastions) == 1
        order = [
            one["instance"] for one in made.admin("ledger") if one["instance"] in made.restarts()
        ]
        last = [order.index(one) for one in bastions]
        assert min(last) >= len(set(order) - bastions), order
        verified = made.run("audit", "verify", run_id(applied.stdout))
        assert verified.returncode == 0, verified.stdout
        assert "at most 1 of 1 (last)" in verified.stdout
