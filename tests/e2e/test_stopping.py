"""How a run stops for failures, and how an operator continues it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.e2e.stage import Stage, stage

SPEC = """\
apiVersion: rollout/v1
kind: KeyRotation
metadata: {{ name: {name} }}
spec:
  keyPair: {{ name: {key}, publicKeyFile: keys/new.pub, ensure: import }}
  inventory:
    - source: ecs
      regions: [cn-hangzhou]
{select}  restart: {{ settleWindow: 2s, timeout: 4s }}
  budgets:
    - {{ by: fleet, maxDown: {max_down} }}
  waves:
    - {{ name: canary, size: 2 }}
    - {{ name: bulk, size: rest }}
"""
FLEET = "- { count: 9 }\n- { count: 1, tags: { case: theirs } }\n"


def write_spec(made: Stage, name: str, *, max_down: str = "50%", select: str = "") -> None:
    """A spec of all instances, or of those that `select` names, with a key pair of its own."""
    made.write_spec(name)  # and the public key
    text = SPEC.format(name=name, key=f"{name}-key", max_down=max_down, select=select)
    (made.folder / f"{name}.yaml").write_text(text)


def planned(folder: Path, made: Stage, *, max_down: str = "50%") -> list[str]:
    """Plan a fleet of ten; the ids of its canary."""
    write_spec(made, "fleet", max_down=max_down)
    plan = made.run("plan", "fleet.yaml", "--out", "fleet.plan.json")
    assert plan.returncode == 0, plan.stderr
    waves = json.loads((folder / "fleet.plan.json").read_bytes())["waves"]
    batches = [batch for cell in waves[0]["cells"] for batch in cell["batches"]]
    return [target["instance"] for batch in batches for target in batch["targets"]]


def cloud(folder: Path, faults: str = "") -> tuple[str, ...]:
    """Options of an emulator with ten Linux instances and these faults."""
    (folder / "fleet.rows.yaml").write_text(FLEET)
    (folder / "faults.yaml").write_text(faults or "[]\n")
    rows, chances = str(folder / "fleet.rows.yaml"), str(folder / "faults.yaml")
    return ("--fleet", rows, "--faults", chances, "--boot-time", "1s")


def run_id(text: str) -> str:
    """The id of the run that an output names."""
    found = re.search(r"r-[a-z2-7]{10}", text)
    assert found, text
    return found[0]


def test_a_canary_that_fails_stops_the_run_until_resume_accepts_it(tmp_path: Path) -> None:
    """No instance of the next wave is touched, exit 5 names what to do, resume continues."""
    options = cloud(tmp_path, "- { fault: boot_stuck_starting, probability: 1 }\n")
    with stage(tmp_path, size=None, options=options) as made:
        canary = planned(tmp_path, made)
        applied = made.run("apply", "fleet.plan.json", "--no-input")
        assert applied.returncode == 5, applied.stdout + applied.stderr
        run = run_id(applied.stdout)
        assert f"accepts these failures and continues: rollout resume {run}" in applied.stdout
        assert "R0504" in applied.stdout
        assert all(instance in applied.stdout for instance in canary)
        assert {row["instance"] for row in made.admin("ledger") if row["instance"]} == set(canary)

        made.disarm()
        resumed = made.run("resume", run)
        assert resumed.returncode == 3, resumed.stdout + resumed.stderr
        assert "8 done" in resumed.stdout.replace("\u00a0", " ")
        shown = made.run("audit", "show", run).stdout
        assert "FailuresAccepted" in shown
        assert made.run("audit", "verify", run).returncode == 0


def attach_a_third_key(made: Stage) -> str:
    """Another operator rotates one instance to another key pair; its id."""
    write_spec(made, "theirs", max_down="1", select='      select: "case=theirs"\n')
    text = (made.folder / "theirs.yaml").read_text()
    (made.folder / "theirs.yaml").write_text(text.replace("    - { name: canary, size: 2 }\n", ""))
    done = made.run("apply", "theirs.yaml", "--confirm", "theirs", "--no-input")
    assert done.returncode == 0, done.stderr
    return str(made.admin("ledger")[-1]["instance"])


def test_a_third_key_holds_one_instance_and_the_others_are_done(tmp_path: Path) -> None:
    """The instance is listed with its next step, exit 3, and the run closes."""
    with stage(tmp_path, size=None, options=cloud(tmp_path)) as made:
        planned(tmp_path, made)
        theirs = attach_a_third_key(made)
        applied = made.run("apply", "fleet.plan.json", "--no-input")
        assert applied.returncode == 3, applied.stdout + applied.stderr
        text = applied.stdout.replace("\u00a0", " ")
        assert "9 done" in text and "1 skipped" in text
        assert re.search(rf"{theirs} .*foreign_key", text)
        assert "→ foreign_key:" in text
        keys = {row["instance"]: row["key_in_force"] for row in made.admin("instances")}
        assert keys.pop(theirs) == "theirs-key"
        assert set(keys.values()) == {"fleet-key"}
