"""Proof of login through the command line: real SSH servers, a real agent, real keys."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stage import ROLLOUT, Stage, free_port, stage

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has a loopback address for each instance"
)

SPEC = """\
apiVersion: rollout/v1
kind: KeyRotation
metadata: {{ name: logins }}
spec:
  keyPair: {{ name: ops-new, publicKeyFile: new.pub, ensure: import }}
  inventory: [ {{ source: ecs, regions: [cn-beijing] }} ]
  budgets: [ {{ by: fleet, maxDown: 3 }} ]
  restart: {{ settleWindow: 1s }}
  waves: [ {{ name: canary, size: 1 }}, {{ name: bulk, size: rest }} ]
  verify:
    ssh: {{ user: root, port: {port}, identity: agent, expectOldKeyRefused: true, timeout: 2s }}
    command: [ {{ argv: [test, "{{instance}}", "!=", "{{address}}"] }} ]
"""


@contextlib.contextmanager
def fleet(folder: Path, *faults: str, rules: str = "") -> Iterator[tuple[Stage, str]]:
    """Three guests that accept the former key, and an agent with both keys; yield its socket.
    `rules` are further lines of the spec.
    """
    for name in ("old", "new"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name]
        subprocess.run(command, check=True)
    row = {"region": "cn-beijing", "key_pair": "ops-old", "count": 3, "login_user": "root"}
    row["public_key"] = (folder / "old.pub").read_text().strip()
    row["start_time"] = "2026-01-02T03:04Z"
    (folder / "fleet.jsonl").write_text(json.dumps(row) + "\n")
    port = free_port()
    (folder / "logins.yaml").write_text(SPEC.format(port=port) + rules)
    options = ("--fleet", "fleet.jsonl", "--ssh", "--ssh-port", str(port), "--boot-time", "200ms")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", folder / "agent"], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    agent.stdout.readline()
    try:
        keys, agent_at = [folder / "old", folder / "new"], {"SSH_AUTH_SOCK": str(folder / "agent")}
        subprocess.run(["ssh-add", "-q", *keys], env=agent_at, check=True)
        with stage(folder, size=None, options=options) as made:
            made.arm(*({"fault": fault} for fault in faults))
            assert made.run("plan", "logins.yaml", "--out", "p.plan.json").returncode == 0
            yield made, str(folder / "agent")
    finally:
        agent.terminate()
        agent.communicate()


def apply(made: Stage, agent: str) -> subprocess.CompletedProcess[str]:
    """Apply the plan with this agent."""
    return subprocess.run(
        [*ROLLOUT, "apply", "p.plan.json", "--no-input", "--confirm", "logins"],
        cwd=made.folder,
        env={**made.environment(), "SSH_AUTH_SOCK": agent},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_done_means_that_a_login_proved_the_new_key(tmp_path: Path) -> None:
    """The audit log says it in words; without the former key in the agent nothing is changed."""
    with fleet(tmp_path) as (made, agent):
        refused = apply(made, str(tmp_path / "no-agent"))
        assert refused.returncode == 78 and "R0349" in refused.stderr, refused.stderr
        assert not made.admin("ledger")

        applied = apply(made, agent)
        assert applied.returncode == 0, applied.stdout + applied.stderr
        audit = made.run("audit", "show").stdout
        proven = "login proven: new key accepted, former key refused, host key unchanged"
        assert " ".join(audit.split()).count(proven) == 3, audit
        assert made.run("audit", "verify").returncode == 0


def test_a_former_key_that_still_opens_is_not_done(tmp_path: Path) -> None:
    """The canary fails, the run stops before the next wave, and the report says what to do."""
    with fleet(tmp_path, "former_key_kept") as (made, agent):
        applied = apply(made, agent)
        assert applied.returncode == 5, applied.stdout + applied.stderr
        assert "former_key_accepted" in applied.stdout, applied.stdout
        assert len(made.restarts()) == 1
        audit = " ".join(made.run("audit", "show").stdout.split())
        assert "login failed: new key accepted, former key accepted" in audit, audit


def test_a_rotation_that_goes_on_names_the_former_keys_that_still_open(tmp_path: Path) -> None:
    """The spec accepts so many failures: the run closes with exit 3 and names each of them."""
    rules = "  onFailure: { failed: 4 }\n"
    with fleet(tmp_path, "former_key_kept", rules=rules) as (made, agent):
        applied = apply(made, agent)
        assert applied.returncode == 3, applied.stdout + applied.stderr
        assert len(made.restarts()) == 3
        audit = " ".join(made.run("audit", "show").stdout.split())
        assert audit.count("new key accepted, former key accepted, host key unchanged") == 3, audit
        assert "3 failed" in audit, audit


def test_a_canary_that_refuses_the_new_key_halts_the_run(tmp_path: Path) -> None:
    """One instance is enough, and no other is restarted."""
    with fleet(tmp_path, "key_never_installed") as (made, agent):
        applied = apply(made, agent)
        assert applied.returncode == 5, applied.stdout + applied.stderr
        assert "R0528" in applied.stdout + applied.stderr, applied.stdout
        assert len(made.restarts()) == 1
