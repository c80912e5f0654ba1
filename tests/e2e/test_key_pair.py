"""Another operator recreates a key pair during a run."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rollout.journal import proofs
from rollout.journal.directory import DirectoryStore
from tests.e2e.operators import recreate_key_pair
from tests.e2e.stage import Stage, stage

REGION = "cn-hangzhou"
SIZE = 8


def test_a_recreated_key_pair_stops_the_run(tmp_path: Path) -> None:
    """If the key pair is recreated while instances reboot, the run ends with exit 6 and R0606. No
    instance that may have the foreign key is done or proved; a resume stops before any further
    effect.
    """
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(f"- {{ count: {SIZE} }}\n")
    options = ("--fleet", str(fleet), "--edition", "seed", "--boot-time", "700ms")
    with stage(tmp_path, size=None, options=options) as made:
        made.write_spec("swap", max_down="3")
        planned = made.run("plan", "swap.yaml", "--out", "swap.plan.json")
        assert planned.returncode == 0, planned.stderr
        apply = made.begin("apply", "swap.plan.json", "--no-input")
        _wait_for_reboots(made, 4)
        clean = len(_attached(made))
        recreate_key_pair(made, REGION, "swap-key")
        out, err = apply.communicate(timeout=60)
        assert apply.returncode == 6, out + err
        assert "R0606" in err and "rollout resume" in out + err
        effects = len(made.admin("ledger"))
        assert made.run("resume", "--last").returncode == 6
        assert len(made.admin("ledger")) == effects, "an effect after the key pair changed"
        assert made.run("audit", "verify").returncode == 0
        status = json.loads(made.run("status", "-o", "json").stdout)
        proved = set(proofs.fold(DirectoryStore(made.folder / "runs")).proofs)
        assert not proved & set(_attached(made)[clean:])
        assert status["classes"]["done"] == len(proved) < SIZE


def _wait_for_reboots(made: Stage, number: int) -> None:
    patience = time.monotonic() + 60
    while sum(row["effect"] == "reboot" for row in made.admin("ledger")) < number:
        assert time.monotonic() < patience, made.admin("ledger")
        time.sleep(0.05)


def _attached(made: Stage) -> list[str]:
    return [row["instance"] for row in made.admin("ledger") if row["effect"] == "attach"]
