"""Operators pause, promote and resume a run from other processes."""

from __future__ import annotations

import json
import time
from pathlib import Path

from tests.e2e.stage import Stage, stage
from tests.e2e.test_stopping import cloud, half_way, run_id, write_spec

CANARY = "{ name: canary, size: 1"


def planned(made: Stage, gate: str) -> None:
    """Plan the whole fleet with this bake and gate after the canary."""
    write_spec(made, "fleet", max_down="1")
    text = (made.folder / "fleet.yaml").read_text()
    (made.folder / "fleet.yaml").write_text(text.replace(CANARY, f"{CANARY}, {gate}"))
    plan = made.run("plan", "fleet.yaml", "--out", "fleet.plan.json")
    assert plan.returncode == 0, plan.stderr
    assert "manual" in plan.stdout if "manual" in gate else True


def restarts(made: Stage) -> int:
    """How many instances were restarted so far."""
    return sum(made.restarts().values())


def test_a_manual_gate_ends_no_wait_with_exit_5_and_a_promotion_continues(tmp_path: Path) -> None:
    """Only the canary is touched; promote needs no service, and the audit log names its reason."""
    with stage(tmp_path, size=None, options=cloud(tmp_path)) as made:
        planned(made, "gate: manual")
        applied = made.run("apply", "fleet.plan.json", "--no-input", "--no-wait")
        assert applied.returncode == 5, applied.stdout + applied.stderr
        run = run_id(applied.stdout)
        assert "R0508" in applied.stdout and f"promote: rollout promote {run}" in applied.stdout
        assert restarts(made) == 1

        again = made.run("resume", run, "--no-wait")
        assert again.returncode == 5 and restarts(made) == 1
        promoted = made.run("promote", run, "--reason", "canary looks good")
        assert promoted.returncode == 0, promoted.stderr
        assert f"rollout resume {run}" in promoted.stderr
        assert made.run("promote", run).returncode == 6  # it is answered

        resumed = made.run("resume", run, "--no-wait")
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert "CLOSED" in resumed.stdout and restarts(made) == 5
        shown = " ".join(made.run("audit", "show", run).stdout.split())
        assert "commanded promote: canary looks good" in shown
        assert "gate after wave canary: promoted by" in shown
        assert made.run("audit", "verify", run).returncode == 0


def test_until_wave_stops_after_that_wave_and_a_resume_continues(tmp_path: Path) -> None:
    """Exit 5 with only the canary touched, and the audit log names the operator. A name that is no
    wave, or a closed one, is refused before any change.
    """
    with stage(tmp_path, size=None, options=cloud(tmp_path)) as made:
        planned(made, "bake: 1s")
        words = ("apply", "fleet.plan.json", "--no-input", "--until-wave")
        unknown = made.run(*words, "canry")
        assert unknown.returncode == 64 and "R0017" in unknown.stderr
        assert "choose from canary, " in unknown.stderr and restarts(made) == 0

        applied = made.run(*words, "canary")
        assert applied.returncode == 5, applied.stdout + applied.stderr
        assert "R0616" in applied.stdout and restarts(made) == 1
        run = run_id(applied.stdout)
        closed = made.run("resume", run, "--until-wave", "canary")
        assert closed.returncode == 64 and "is closed already" in closed.stderr
        assert made.run("resume", "--last").returncode == 5 and restarts(made) == 1

        assert made.run("resume", run).returncode == 0 and restarts(made) == 5
        shown = " ".join(made.run("audit", "show", run).stdout.split())
        assert "no wave starts after wave canary (--until-wave)" in shown
        assert made.run("audit", "verify", run).returncode == 0


def test_a_driven_run_waits_at_its_gate_for_another_terminal(tmp_path: Path) -> None:
    """The process bakes, shows what it waits for, and continues after the promotion."""
    with stage(tmp_path, size=None, options=cloud(tmp_path)) as made:
        planned(made, "bake: 2s, gate: manual")
        apply = half_way(made)
        run = next((tmp_path / "runs").glob("r-*")).name
        status = ""
        while "for a promotion after wave canary" not in status:
            assert apply.poll() is None, apply.communicate()
            status = " ".join(made.run("status", run).stdout.split())
        assert f"promote: rollout promote {run}" in status
        time.sleep(1)
        assert restarts(made) == 1
        assert made.run("promote", run, "--reason", "checked").returncode == 0
        out, err = apply.communicate(timeout=60)
        assert apply.returncode == 0, out + err
        assert restarts(made) == 5
        assert made.run("audit", "verify", run).returncode == 0


def test_a_run_is_paused_and_continued_from_another_terminal(tmp_path: Path) -> None:
    """Nothing starts between pause and resume; both are in the audit log with their reasons."""
    with stage(tmp_path, size=None, options=cloud(tmp_path, boot="2s")) as made:
        planned(made, "gate: auto")
        apply = half_way(made)
        run = next((tmp_path / "runs").glob("r-*")).name
        paused = made.run("pause", run, "--reason", "incident 7")
        assert paused.returncode == 0, paused.stderr
        before = restarts(made)
        assert made.run("pause", run).returncode == 6  # it is paused already
        time.sleep(4)  # longer than a boot, which would free the only permit
        assert restarts(made) == before
        status = json.loads(made.run("status", run, "-o", "json").stdout)
        assert status["state"] == "paused" and "incident 7" in status["reason"]
        assert apply.poll() is None

        resumed = made.run("resume", run, "--reason", "incident closed")
        assert resumed.returncode == 0, resumed.stderr
        out, err = apply.communicate(timeout=60)
        assert apply.returncode == 0, out + err
        assert restarts(made) == 5
        shown = " ".join(made.run("audit", "show", run).stdout.split())
        assert "commanded pause: incident 7" in shown
        assert "commanded resume: incident closed" in shown
        assert made.run("audit", "verify", run).returncode == 0


def test_a_scheduler_does_not_continue_a_paused_run(tmp_path: Path) -> None:
    """The paused process is killed: `resume --last` refuses with R0507, an operator continues."""
    with stage(tmp_path, size=None, options=cloud(tmp_path, boot="2s")) as made:
        planned(made, "gate: auto")
        apply = half_way(made)
        run = next((tmp_path / "runs").glob("r-*")).name
        assert made.run("pause", run).returncode == 0
        apply.kill()
        apply.communicate()
        before = restarts(made)
        unattended = made.run("resume", "--last")
        assert unattended.returncode == 5, unattended.stderr
        assert "R0507" in unattended.stderr and f"rollout resume {run}" in unattended.stderr
        assert restarts(made) == before

        resumed = made.run("resume", run)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert made.run("audit", "verify", run).returncode == 0
