"""A plan with two keys through the real command line, as in a plan that restores former keys."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import msgspec

from rollout.app import plan_file
from rollout.model.plan import RegionKey, WantedKey, public_key_digest
from rollout.sim.world.several_keys import with_keys
from tests.e2e.operators import FOREIGN_KEY, call
from tests.e2e.stage import Stage, stage

EARLIER = "ops-earlier"
SIZE = 24
REGIONS = ("cn-hangzhou", "cn-shanghai")


def test_each_instance_ends_with_its_own_key(tmp_path: Path) -> None:
    """Half of the targets get the new key, which is imported, and half an existing earlier key. In
    the hidden ledger each has its own key in force and no call mixed keys. The journal verifies,
    and the proofs of the run are for these keys.
    """
    fleet = tmp_path / "fleet.yaml"
    rows = (f"- {{ count: {SIZE // 2}, region: {region} }}\n" for region in REGIONS)
    fleet.write_text("".join(rows))
    options = ("--fleet", str(fleet), "--boot-time", "200ms")
    with stage(tmp_path, size=None, options=options) as made:
        wanted = _write_plan(made)
        applied = made.run("apply", "two.plan.json", "--no-input")
        assert applied.returncode == 0, applied.stdout + applied.stderr

        in_force = {row["instance"]: row["key_in_force"] for row in made.admin("instances")}
        assert in_force == wanted and len(set(wanted.values())) == 2
        calls: dict[str, set[str]] = {}
        for row in made.admin("ledger"):
            if row["effect"] == "attach":
                calls.setdefault(row["request_id"], set()).add(row["key_pair"])
        assert Counter(len(keys) for keys in calls.values()) == {1: len(calls)}
        assert made.run("audit", "verify").returncode == 0
        for instance, key in list(wanted.items())[:4]:
            shown = made.run("audit", "show", "--instance", instance, "-o", "jsonl").stdout
            keys = set(re.findall(r"key pair (\S+) in cn-", shown))
            assert keys == {key}, "the audit log of one instance names its own key only"
        again = made.run("plan", "two.yaml", "-o", "json")
        assert msgspec.json.decode(again.stdout)["counts"]["targets"] == SIZE // 2


def _write_plan(made: Stage) -> dict[str, str]:
    """Write `two.plan.json`. Return the name of the wanted key of each instance."""
    reply = {}
    for region in REGIONS:
        params = {"RegionId": region, "KeyPairName": EARLIER, "PublicKeyBody": FOREIGN_KEY}
        reply[region] = call(made, "ImportKeyPair", **params)
    made.write_spec("two")
    assert made.run("plan", "two.yaml", "--out", "one.plan.json").returncode == 0
    plan = plan_file.load_plan(made.folder / "one.plan.json").plan
    account = plan.identity[0].account
    regions = tuple(
        RegionKey(account, region, present=True, fingerprint=reply[region]["KeyPairFingerPrint"])
        for region in REGIONS
    )
    earlier = WantedKey(EARLIER, FOREIGN_KEY, public_key_digest(FOREIGN_KEY), regions)
    two = with_keys(plan, (*plan.keys, earlier), lambda one: int(one.instance[-1], 16) % 2)
    plan_file.save_plan(plan_file.with_digest(two), made.folder / "two.plan.json")
    return {target.instance: two.keys[target.key].name for target in two.targets()}
