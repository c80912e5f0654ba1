"""Two host names with one runs directory, as with the pods of a CronJob."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.stage import ROLLOUT, stage

DOWN = 3

UNSHARE = ("unshare", "--user", "--map-root-user", "--uts", "sh", "-c")


def test_another_host_name_continues_after_a_hard_kill(tmp_path: Path) -> None:
    """While the first pod runs, the second is refused. Once it is killed, even as a zombie, status
    and history suggest a resume, and a pod with another host name finishes the run.
    """
    if subprocess.run([*UNSHARE, "hostname pod-0"], check=False, capture_output=True).returncode:
        pytest.skip("unshare --uts is not permitted on this machine")
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("- { count: 5 }\n")
    with stage(tmp_path, size=None, options=("--fleet", str(fleet), "--boot-time", "2s")) as made:
        made.write_spec("hosts", max_down=str(DOWN))
        assert made.run("plan", "hosts.yaml", "--out", "case.plan.json").returncode == 0
        apply = made.begin("apply", "case.plan.json", "--no-input", program=_on("pod-1"))
        made.await_restarts(DOWN, apply, "case.plan.json")
        apply.send_signal(signal.SIGSTOP)  # it holds the lock and does not finish meanwhile
        refused = made.run("resume", "--last", program=_on("pod-2"))
        assert refused.returncode == 6, refused.stderr
        assert "error[R0603]" in refused.stderr and "on pod-1" in refused.stderr
        assert "driven by" in made.run("status", program=_on("pod-2")).stdout
        apply.kill()  # and not waited for: a zombie
        time.sleep(0.1)

        for host in ("pod-1", "pod-2"):
            status = made.run("status", program=_on(host)).stdout
            assert "INTERRUPTED" in status and "resume: rollout resume r-" in status
        rows = json.loads(made.run("history", "-o", "json", program=_on("pod-2")).stdout)
        assert [row["state"] for row in rows["runs"]] == ["interrupted"]
        resumed = made.run("resume", "--last", program=_on("pod-2"))

        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert made.run("audit", "verify").returncode == 0
        assert made.wrong("case.plan.json", down_max=DOWN) == ""
        apply.communicate()


def _on(host: str) -> tuple[str, ...]:
    """Return the program under another host name; `exec` keeps the process id."""
    return (*UNSHARE, f'hostname {host}; exec "$@"', "sh", *ROLLOUT)
