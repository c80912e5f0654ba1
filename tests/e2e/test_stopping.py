"""How failures stop a run, and how an operator continues or closes it."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
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
    - {{ name: canary, size: 1 }}
    - {{ name: bulk, size: rest }}
"""
FLEET = "- {{ count: {size} }}\n- {{ count: 1, tags: {{ case: theirs }} }}\n"


def write_spec(made: Stage, name: str, *, max_down: str = "50%", select: str = "") -> None:
    """Write a spec of all instances, or of those that `select` matches, with its own key pair."""
    made.write_spec(name)  # and the public key
    text = SPEC.format(name=name, key=f"{name}-key", max_down=max_down, select=select)
    (made.folder / f"{name}.yaml").write_text(text)


def planned(folder: Path, made: Stage, *, max_down: str = "50%") -> list[str]:
    """Plan the whole fleet. Return the ids of its canary."""
    write_spec(made, "fleet", max_down=max_down)
    plan = made.run("plan", "fleet.yaml", "--out", "fleet.plan.json")
    assert plan.returncode == 0, plan.stderr
    waves = json.loads((folder / "fleet.plan.json").read_bytes())["waves"]
    batches = [batch for cell in waves[0]["cells"] for batch in cell["batches"]]
    return [target["instance"] for batch in batches for target in batch["targets"]]


def cloud(folder: Path, faults: str = "", boot: str = "1s", size: int = 4) -> tuple[str, ...]:
    """Return the options of an emulator with `size` instances, one more with a tag, and these
    faults.
    """
    (folder / "fleet.rows.yaml").write_text(FLEET.format(size=size))
    (folder / "faults.yaml").write_text(faults or "[]\n")
    rows, chances = str(folder / "fleet.rows.yaml"), str(folder / "faults.yaml")
    return ("--fleet", rows, "--faults", chances, "--boot-time", boot)


def run_id(text: str) -> str:
    """Return the run id in an output."""
    found = re.search(r"r-[a-z2-7]{10}", text)
    assert found, text
    return found[0]


def test_a_canary_that_fails_stops_the_run_until_resume_accepts_it(tmp_path: Path) -> None:
    """No instance of the next wave is changed, exit 5 names the next step, and resume continues."""
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
        assert "4 done" in resumed.stdout.replace("\u00a0", " ")
        shown = made.run("audit", "show", run).stdout
        assert "FailuresAccepted" in shown
        assert made.run("audit", "verify", run).returncode == 0


def attach_a_third_key(made: Stage) -> str:
    """Attach another key pair to one instance, as an operator with another runs directory does.
    Return its id.
    """
    write_spec(made, "theirs", max_down="1", select='      select: "case=theirs"\n')
    text = (made.folder / "theirs.yaml").read_text()
    (made.folder / "theirs.yaml").write_text(text.replace("    - { name: canary, size: 1 }\n", ""))
    options = ("--no-input", "--runs-dir", "their-runs")
    done = made.run("apply", "theirs.yaml", "--confirm", "theirs", *options)
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
        assert "4 done" in text and "1 skipped" in text
        assert re.search(rf"{theirs} .*foreign_key", text)
        assert "→ foreign_key:" in text
        keys = {row["instance"]: row["key_in_force"] for row in made.admin("instances")}
        assert keys.pop(theirs) == "theirs-key"
        assert set(keys.values()) == {"fleet-key"}


def change(made: Stage, what: str, value: dict[str, object]) -> None:
    """Set switches or faults of the emulator."""
    body = json.dumps(value).encode()
    urllib.request.urlopen(f"{made.url}/_admin/{what}", body).close()  # noqa: S310


def half_way(made: Stage, effect: str = "reboot") -> subprocess.Popen[str]:
    """Start an apply of the plan. Return when this effect has happened and the process is alive."""
    process = made.begin("apply", "fleet.plan.json", "--no-input")
    while not any(row["effect"] == effect for row in made.admin("ledger")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    return process


def test_a_halted_run_is_aborted_and_planned_again(tmp_path: Path) -> None:
    """After a failed canary, abort closes the run and a new plan is accepted."""
    options = cloud(tmp_path, "- { fault: boot_stuck_starting, probability: 1 }\n")
    with stage(tmp_path, size=None, options=options) as made:
        canary = planned(tmp_path, made)
        applied = made.run("apply", "fleet.plan.json", "--no-input")
        run = run_id(applied.stdout)
        assert f"rollout abort {run}" in applied.stdout
        unconfirmed = made.run("abort", run)
        assert unconfirmed.returncode == 7, unconfirmed.stderr
        assert "add --confirm fleet" in unconfirmed.stderr
        made.disarm()

        aborted = made.run("abort", run, "--confirm", "fleet", "--reason", "bad image")
        assert aborted.returncode == 3, aborted.stdout + aborted.stderr
        assert "CLOSED" in aborted.stdout and "bad image" in aborted.stdout
        assert "4 skipped" in aborted.stdout.replace("\u00a0", " ")
        assert {row["instance"] for row in made.admin("ledger") if row["instance"]} == set(canary)
        assert made.run("audit", "verify", run).returncode == 0
        again = made.run("abort", run, "--confirm", "fleet")
        assert again.returncode == 3 and "is closed" in again.stderr
        assert made.run("plan", "fleet.yaml", "--out", "again.plan.json").returncode == 0
        assert made.run("apply", "again.plan.json", "--no-input").returncode == 0


def test_a_driven_run_is_aborted_by_its_inbox(tmp_path: Path) -> None:
    """The driving process starts nothing new, settles open calls and closes; both commands report
    it.
    """
    with stage(tmp_path, size=None, options=cloud(tmp_path, boot="3s")) as made:
        planned(tmp_path, made, max_down="1")
        apply = half_way(made)
        run = next((tmp_path / "runs").glob("r-*")).name
        restarts = sum(made.restarts().values())
        aborted = made.run("abort", run, "--confirm", run, "--reason", "wrong window")
        out, err = apply.communicate(timeout=30)
        assert apply.returncode == aborted.returncode == 3, out + err + aborted.stderr
        assert "wrong window" in out
        assert sum(made.restarts().values()) <= restarts + 1
        assert not list((tmp_path / "runs" / run / "inbox").iterdir())
        assert made.run("audit", "verify", run).returncode == 0


def test_a_killed_run_is_aborted(tmp_path: Path) -> None:
    """After SIGKILL during a restart, abort observes its outcome and starts nothing."""
    with stage(tmp_path, size=None, options=cloud(tmp_path, boot="2s")) as made:
        planned(tmp_path, made, max_down="1")
        apply = half_way(made)
        apply.kill()
        apply.communicate()
        restarts = made.restarts()
        run = next((tmp_path / "runs").glob("r-*")).name
        aborted = made.run("abort", run, "--confirm", "fleet")
        assert aborted.returncode == 3, aborted.stdout + aborted.stderr
        assert "1 done" in aborted.stdout.replace("\u00a0", " ")
        assert made.restarts() == restarts
        assert made.run("audit", "verify", run).returncode == 0


def test_an_abort_without_service_is_kept(tmp_path: Path) -> None:
    """The service is not reachable, so the abort fails; a scheduled resume aborts the run later."""
    with stage(tmp_path, size=None, options=cloud(tmp_path)) as made:
        planned(tmp_path, made, max_down="1")
        apply = half_way(made)
        apply.kill()
        apply.communicate()
        restarts = made.restarts()
        run = next((tmp_path / "runs").glob("r-*")).name
        made.arm({"fault": "unavailable", "probability": 1})
        failed = made.run("abort", run, "--confirm", "fleet", "--api-timeout", "1s")
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert "The abort is recorded" in failed.stderr
        made.disarm()

        resumed = made.run("resume", "--last", "--no-input")
        assert resumed.returncode == 3, resumed.stdout + resumed.stderr
        assert "aborted by" in resumed.stdout
        assert made.restarts() == restarts
        assert made.run("audit", "verify", run).returncode == 0


def test_resolve_unblocks_a_budget_of_one(tmp_path: Path) -> None:
    """If StartTime does not move, only one instance may be down and a reply is lost, resolve
    unblocks the run.
    """
    with stage(tmp_path, size=None, options=cloud(tmp_path, boot="3s", size=1)) as made:
        change(made, "switches", {"start_time_moves_on_reboot": False})
        planned(tmp_path, made, max_down="1")
        apply = half_way(made, "attach")  # after the dry runs
        lost = {"fault": "lost_before", "probability": 1, "actions": ["RebootInstance"]}
        change(made, "faults", {"faults": [lost]})
        out, err = apply.communicate(timeout=60)
        assert apply.returncode == 5, out + err
        run = run_id(out)
        stuck = re.search(r"(i-\w+) .*in_doubt", out)
        assert stuck, out
        made.disarm()
        words = ("resolve", run, "--instance", stuck[1])
        resolved = made.run(*words, "--untouched", "--reason", "uptime is 40 days")
        assert resolved.returncode == 0, resolved.stderr
        assert f"rollout resume {run}" in resolved.stderr
        resumed = made.run("resume", run)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert set(made.restarts().values()) == {1}
        assert "uptime is 40 days" in made.run("audit", "show", run).stdout
        assert made.run("audit", "verify", run).returncode == 0
