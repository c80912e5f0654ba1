"""`rollout keys` through the real command line, against the hidden ledger."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.operators import FOREIGN_KEY, admin, call
from tests.e2e.stage import PUBLIC_KEY, Stage, stage

FLEET = """\
- { count: 3, region: cn-hangzhou, key_pair: ops-a }
- { count: 2, region: cn-shanghai, key_pair: ops-a }
- { count: 1, region: cn-shanghai, key_pair: ops-b }
- { count: 0, region: cn-shanghai, key_pair: ops-idle }
"""
BOTH = ("--region", "cn-hangzhou", "--region", "cn-shanghai")


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Stage]:
    """Six instances with two key pairs, and a key pair without an instance."""
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(FLEET)
    options = ("--fleet", str(fleet), "--boot-time", "200ms")
    with stage(tmp_path, size=None, options=options) as staged:
        staged.write_spec("fleet")
        yield staged


def ran(made: Stage, *words: str, code: int = 0) -> str:
    """Run `rollout keys`, check its exit code, and return its output."""
    ended = made.run("keys", *words)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def rows(made: Stage, *words: str) -> list[dict[str, Any]]:
    """The rows of a result."""
    document = json.loads(ran(made, *words, "-o", "json"))
    return next(value for key, value in document.items() if key != "format_version")


def changes(made: Stage) -> Counter[tuple[str, str]]:
    """Imports and deletions of key pairs by the hidden ledger, by effect and region."""
    kinds = ("import", "delete")
    ledger = [row for row in made.admin("ledger") if row["effect"] in kinds]
    return Counter((row["effect"], row["region"]) for row in ledger)


def test_key_pairs_are_listed_by_region(made: Stage) -> None:
    """All regions of the account by default, page after page; an unknown region is refused."""
    for number in range(60):
        call(
            made,
            "ImportKeyPair",
            RegionId="cn-shanghai",
            KeyPairName=f"many-{number}",
            PublicKeyBody=FOREIGN_KEY,
        )
    listed = [(row["region"], row["key_pair"]) for row in rows(made, "list")]

    assert len(listed) == len(set(listed)) == 64
    assert {("cn-hangzhou", "ops-a"), ("cn-shanghai", "ops-b")} <= set(listed)
    assert [row["key_pair"] for row in rows(made, "list", "--region", "cn-hangzhou")] == ["ops-a"]
    unknown = ran(made, "list", "--region", "cn-hangzou", code=64)
    assert "R0001" in unknown and "did you mean `cn-hangzhou`?" in unknown
    assert "the account's regions: " in ran(made, "list", "--region", "xx-1", code=64)


def test_usage_lists_the_instances_that_have_a_key_pair(made: Stage) -> None:
    """By region, with the status; a key pair without an instance has no rows."""
    found = rows(made, "usage", "ops-a")

    assert Counter(row["region"] for row in found) == {"cn-hangzhou": 3, "cn-shanghai": 2}
    assert {row["status"] for row in found} == {"Running"}
    assert rows(made, "usage", "ops-idle") == []


def test_a_public_key_is_imported_where_it_is_missing(made: Stage) -> None:
    """Each region gets it once; the second time all regions have it and nothing is sent."""
    words = ("ensure", "fleet-2026", "--public-key", "keys/new.pub", *BOTH)

    assert [row["state"] for row in rows(made, *words)] == ["imported", "imported"]
    assert changes(made) == {("import", "cn-hangzhou"): 1, ("import", "cn-shanghai"): 1}
    again = rows(made, *words)
    assert [row["state"] for row in again] == ["present", "present"]
    assert sum(changes(made).values()) == 2


def test_a_lost_reply_is_decided_by_what_the_region_has(made: Stage) -> None:
    """Imports and deletions whose replies are lost took effect: both commands succeed, and nothing
    is sent twice.
    """
    lost = {"fault": "lost_after", "probability": 1}
    made.arm(lost | {"actions": ["ImportKeyPair", "DeleteKeyPairs"]})

    imported = rows(made, "ensure", "fleet-2026", "--public-key", "keys/new.pub", *BOTH)
    deleted = rows(made, "retire", "fleet-2026", "--confirm", "fleet-2026", *BOTH)

    assert [row["state"] for row in imported] == ["imported", "imported"]
    assert [row["state"] for row in deleted] == ["deleted", "deleted"]
    assert set(changes(made).values()) == {1} and len(changes(made)) == 4


def test_another_public_key_under_the_name_is_refused_everywhere(made: Stage) -> None:
    """R0314 names the region, and no other region gets the key pair; a private key is refused."""
    call(
        made,
        "ImportKeyPair",
        RegionId="cn-shanghai",
        KeyPairName="fleet-2026",
        PublicKeyBody=FOREIGN_KEY,
    )
    (made.folder / "private").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")

    words = ("ensure", "fleet-2026", *BOTH, "--public-key")
    refused = ran(made, *words, "keys/new.pub", code=65)

    assert "R0314" in refused and "cn-shanghai has another public key than keys/new.pub" in refused
    assert changes(made) == {("import", "cn-shanghai"): 1}
    assert "R0112" in ran(made, *words, "private", code=65)


def test_a_key_pair_is_retired_only_when_nothing_uses_it(made: Stage) -> None:
    """An instance in any region keeps it (R0612), also where the service would delete it; without
    its name nothing is deleted; then it is deleted where it exists.
    """
    admin(made, "switches", {"edition": "seed"})
    assert "2 instances in cn-shanghai" in ran(
        made, "retire", "ops-a", "--region", "cn-shanghai", "--confirm", "ops-a", code=6
    )
    assert "R0612" in ran(made, "retire", "ops-b", "--confirm", "ops-b", code=6)
    assert "add --confirm ops-idle" in ran(made, "retire", "ops-idle", code=7)
    assert "R0702" in ran(made, "retire", "ops-idle", "--confirm", "ops", code=7)
    assert not changes(made)

    states = {
        row["region"]: row["state"]
        for row in rows(made, "retire", "ops-idle", "--confirm", "ops-idle")
    }

    assert states["cn-shanghai"] == "deleted" and states["cn-hangzhou"] == "absent"
    assert changes(made) == {("delete", "cn-shanghai"): 1}
    assert rows(made, "usage", "ops-b") != []


@pytest.mark.parametrize("name", ["", "ops-*", 'x"],["y'])
def test_a_malformed_name_is_refused_before_any_call(made: Stage, name: str) -> None:
    """The empty name is not that of instances without a key pair, and a wildcard is no name."""
    key = made.folder / "key.pub"
    key.write_text(FOREIGN_KEY)
    for words in (("usage",), ("retire", "--confirm", name), ("ensure", "--public-key", str(key))):
        assert "R0001" in ran(made, words[0], name, *words[1:], code=64)
    assert not changes(made)


def test_a_key_pair_of_an_open_run_is_not_retired(made: Stage) -> None:
    """A run that stopped may still attach its key pair, and its undo needs the former one."""
    assert made.run("plan", "fleet.yaml", "--out", "fleet.plan.json").returncode == 0
    assert PUBLIC_KEY in (made.folder / "fleet.plan.json").read_text()
    made.arm({"fault": "lost_after", "probability": 1, "actions": ["AttachKeyPair"]})
    started = made.begin("apply", "fleet.plan.json", "--no-input")
    while not any(row["effect"] == "attach" for row in made.admin("ledger")):
        assert started.poll() is None, started.communicate()
    started.kill()
    started.communicate()

    for name in ("ops-a", "fleet-key"):
        refused = ran(made, "retire", name, "--confirm", name, code=6)
        assert "R0612" in refused and "open run" in refused
    assert "delete" not in {effect for effect, _ in changes(made)}
