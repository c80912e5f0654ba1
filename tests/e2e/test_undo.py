"""`rollout undo` and `rollout retry` through the real command line, against the hidden ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rollout.app import plan_file
from tests.e2e.operators import admin, call
from tests.e2e.stage import Stage, stage

NEW_KEY = "fleet-key"
FLEET = """\
- { count: 5, region: cn-hangzhou, key_pair: ops-a }
- { count: 4, region: cn-hangzhou, key_pair: ops-b }
- { count: 4, region: cn-shanghai, key_pair: ops-b }
- { count: 2, region: cn-shanghai, key_pair: ops-gone }
- { count: 1, region: cn-shanghai, key_pair: null }
- { count: 1, region: cn-shanghai, os_type: windows }
"""
ROTATED = 16


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Stage]:
    """A fleet with three former key pairs, and an instance without one."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET)
    options = ("--fleet", str(fleet), "--boot-time", "200ms")
    with stage(tmp_path, size=None, options=options) as staged:
        spec = staged.write_spec("fleet")
        text = spec.read_text().replace("  restart:", "  allowPasswordLoss: true\n  restart:")
        spec.write_text(text.replace("size: 3", "size: 10%"))
        yield staged


def plan_and_apply(made: Stage, *options: str) -> str:
    """Rotate the fleet; return the run's id."""
    ran(made, "plan", "fleet.yaml", "--out", "fleet.plan.json", *options)
    ran(made, "apply", "fleet.plan.json", "--no-input")
    assert set(in_force(made).values()) == {NEW_KEY, None}
    return newest_run(made)


def newest_run(made: Stage) -> str:
    """The id of the newest run."""
    return ran(made, "history", "-o", "ids").split()[-1]


def ran(made: Stage, *words: str, code: int = 0) -> str:
    """Run a command, check its exit code, and return its output."""
    ended = made.run(*words)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def in_force(made: Stage) -> dict[str, str | None]:
    """The key in force on each instance, by the hidden ledger."""
    return {row["instance"]: row["key_in_force"] for row in made.admin("instances")}


def rows(made: Stage, *words: str) -> list[dict[str, Any]]:
    """The instances of a plan that a command makes."""
    return [json.loads(line) for line in ran(made, *words, "-o", "jsonl").splitlines()]


def test_an_undo_gives_each_instance_its_former_key_back(made: Stage) -> None:
    """Three former key pairs come back within the run's waves and budgets; the instance without a
    former key and those whose former key pair was deleted are listed with a reason and not touched.
    """
    before = in_force(made)
    run = plan_and_apply(made)
    call(made, "DeleteKeyPairs", RegionId="cn-shanghai", KeyPairNames='["ops-gone"]')

    shown = ran(made, "undo", run, "--out", "undo.plan.json")

    assert f"Undo       of run {run}" in shown and "R0323" in shown and "R0324" in shown
    plan = plan_file.load_plan(made.folder / "undo.plan.json").plan
    out = {one.instance: one.reason.value for one in plan.exclusions}
    assert Counter(out.values()) == {"no_former_key": 1, "former_key_lost": 2, "windows": 1}
    assert [(wave.name, len(list(wave.cells))) for wave in plan.waves] == [
        ("canary", 1),
        ("bulk", 2),
    ]
    assert sorted(key.name for key in plan.keys) == ["ops-a", "ops-b", "ops-b"]
    attached = len([row for row in made.admin("ledger") if row["effect"] == "attach"])
    ran(made, "rehearse", "undo.plan.json", "--seeds", "2")
    ran(made, "apply", "undo.plan.json", "--no-input")
    ran(made, "audit", "verify")
    after = in_force(made)
    assert {each: after[each] for each in before} == {
        each: NEW_KEY if out.get(each) in ("no_former_key", "former_key_lost") else former
        for each, former in before.items()
    }
    ledger = [row for row in made.admin("ledger") if row["effect"] == "attach"][attached:]
    assert len(ledger) == ROTATED - 3 and not set(out) & {row["instance"] for row in ledger}
    again = rows(made, "undo", run)
    assert not any(row["target"] for row in again)
    assert sum(row.get("reason") == "other_key" for row in again) == ROTATED - 3


def test_one_wave_is_undone(made: Stage) -> None:
    """`--wave canary` plans the run's canary only, under the run's `--max-down`; a name that is no
    wave is refused.
    """
    run = plan_and_apply(made, "--max-down", "2")
    canary = plan_file.load_plan(made.folder / "fleet.plan.json").plan.waves[0]
    ids = {target.instance for cell in canary.cells for target in cell.targets()}

    planned = rows(made, "undo", run, "--wave", "canary")

    caps = json.loads(ran(made, "undo", run, "-o", "json"))["budgets"]
    assert [budget["max_down"] for budget in caps] == ["50%", "2"]
    kept = {row["instance"] for row in planned if row.get("reason") == "no_former_key"}
    targets = {row["instance"] for row in planned if row["target"]}
    assert targets | kept == ids and len(targets) > 0
    others = {row["reason"] for row in planned if row["instance"] not in ids}
    assert others == {"outside_run", "windows"}
    assert "R0001" in ran(made, "undo", run, "--wave", "none", code=64)


def test_an_undo_is_refused_once_a_former_key_pair_changed(made: Stage) -> None:
    """A former key pair that is deleted between `undo` and `apply`: exit 6 before any call."""
    run = plan_and_apply(made)
    ran(made, "undo", run, "--out", "undo.plan.json")
    call(made, "DeleteKeyPairs", RegionId="cn-hangzhou", KeyPairNames='["ops-a"]')
    effects = len(made.admin("ledger"))

    assert "R0606" in ran(made, "apply", "undo.plan.json", "--no-input", code=6)
    assert len(made.admin("ledger")) == effects


def test_a_plan_is_refused_once_it_could_not_be_undone(made: Stage) -> None:
    """Preflight of every apply compares the former key pairs with the plan's record."""
    ran(made, "plan", "fleet.yaml", "--out", "fleet.plan.json")
    admin(made, "switches", {"edition": "seed"})
    call(made, "DeleteKeyPairs", RegionId="cn-shanghai", KeyPairNames='["ops-gone"]')

    refused = ran(made, "apply", "fleet.plan.json", "--no-input", code=6)

    assert "former key pair ops-gone in cn-shanghai was deleted" in refused
    assert "R0326" in ran(made, "plan", "fleet.yaml")


def test_a_retry_plans_what_is_left(made: Stage) -> None:
    """Instances that a lock kept out of the run: `retry` plans exactly these, its plan rotates
    them, and nothing is left for another retry. With `--failed` they are left out.
    """
    ran(made, "plan", "fleet.yaml", "--out", "fleet.plan.json")
    locked = [row["instance"] for row in made.admin("instances") if row["key_pair"] == "ops-gone"]
    for instance in locked:
        admin(made, "instances", {"instance": instance, "locks": ["security"]})
    ended = made.run("apply", "fleet.plan.json", "--no-input")
    assert ended.returncode in (0, 3), ended.stdout + ended.stderr
    run = newest_run(made)
    for instance in locked:
        admin(made, "instances", {"instance": instance, "locks": []})

    assert not any(row["target"] for row in rows(made, "retry", run, "--failed"))
    ran(made, "retry", run, "--out", "retry.plan.json")

    plan = plan_file.load_plan(made.folder / "retry.plan.json").plan
    assert {target.instance for target in plan.targets()} == set(locked)
    ran(made, "apply", "retry.plan.json", "--no-input")
    assert {in_force(made)[instance] for instance in locked} == {NEW_KEY}
    assert not any(row["target"] for row in rows(made, "retry", newest_run(made)))
