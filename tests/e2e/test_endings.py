"""Commands that cannot finish: signals, a full disk, a second operator, invalid input."""

from __future__ import annotations

import json
import re
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.stage import LISTENING_S, Stage, stage

TRACEBACK = "Traceback (most recent call last)"


def _planned(made: Stage, *, max_down: str = "50%") -> Path:
    made.write_spec("end", max_down=max_down)
    planned = made.run("plan", "end.yaml", "--out", "end.plan.json")
    assert planned.returncode == 0, planned.stderr
    return made.folder / "end.plan.json"


def _until(reached: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until a running command has reached a state."""
    patience = time.monotonic() + LISTENING_S
    while not reached():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < patience
        time.sleep(0.02)


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_drains_and_a_resume_finishes(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """After one SIGTERM or Ctrl-C nothing new starts, the resume command is shown, and it finishes
    the run.
    """
    with stage(tmp_path, size=36, options=("--boot-time", "1s")) as made:
        _planned(made)
        apply = made.begin("apply", "end.plan.json", "--no-input")
        _until(made.restarts, apply)
        apply.send_signal(number)
        out, err = apply.communicate(timeout=30)
        assert apply.returncode == code, out + err
        assert re.search(r"rollout resume r-", out + err)
        before = len(made.admin("ledger"))
        time.sleep(1.5)
        assert len(made.admin("ledger")) == before, "an effect began after the drain"
        assert made.run("resume", "--last").returncode == 0
        assert set(made.restarts().values()) == {1}


def test_a_full_disk_stops_apply_before_any_call(tmp_path: Path) -> None:
    """If the journal's reserve does not fit on the disk, no call is sent: exit 74, a fix, no
    traceback.
    """
    with stage(tmp_path, size=36) as made:
        _planned(made)
        ended = subprocess.run(
            made.command("apply", "end.plan.json", "--no-input"),
            cwd=made.folder,
            env=made.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)),
        )
        assert ended.returncode == 74, ended.stderr
        assert "error[R08" in ended.stderr
        assert "help:" in ended.stderr
        assert TRACEBACK not in ended.stderr
        assert made.admin("ledger") == []


def test_a_second_apply_is_refused(tmp_path: Path) -> None:
    """A second apply with the same runs directory ends with 6 and names the lock's holder."""
    with stage(tmp_path, size=36, options=("--boot-time", "1s")) as made:
        _planned(made)
        first = made.begin("apply", "end.plan.json", "--no-input")
        _until(lambda: made.admin("ledger"), first)
        second = made.run("apply", "end.plan.json", "--no-input")
        assert second.returncode == 6, second.stderr
        assert "error[R06" in second.stderr
        first.communicate(timeout=60)
        assert first.returncode == 0
        again = made.run("apply", "end.plan.json", "--no-input")
        assert again.returncode == 6, "a plan is applied once"
        assert set(made.restarts().values()) == {1}


def test_applying_the_spec_again_finds_nothing_to_do(tmp_path: Path) -> None:
    """The second run excludes every instance that the first run proved: exit 0, no effect."""
    with stage(tmp_path, size=36, options=("--boot-time", "1s")) as made:
        made.write_spec("end")
        words = ("apply", "end.yaml", "--confirm", "end", "--no-input")
        unconfirmed = made.run("apply", "end.yaml", "--no-input")
        assert unconfirmed.returncode == 7
        assert "--confirm" in unconfirmed.stderr
        assert made.run(*words).returncode == 0
        effects = len(made.admin("ledger"))
        again = made.run(*words)
        assert again.returncode == 0, again.stderr
        assert len(made.admin("ledger")) == effects


def test_another_runs_directory_does_not_restart_a_finished_fleet(tmp_path: Path) -> None:
    """A second runs directory has no proofs: the plan warns, and `apply` of the spec restarts
    instances again only with an option that states how many; otherwise exit 7 and no effect.
    """
    with stage(tmp_path, size=24, options=("--boot-time", "200ms")) as made:
        made.write_spec("end")
        words = ("apply", "end.yaml", "--confirm", "end", "--no-input")
        assert made.run(*words).returncode == 0
        effects = len(made.admin("ledger"))
        elsewhere = ("--runs-dir", "elsewhere")

        preview = made.run("plan", "end.yaml", "-o", "json", *elsewhere)
        counts = {one["code"]: one["count"] for one in json.loads(preview.stdout)["warnings"]}
        again = counts["R0315"]
        refused = made.run(*words, *elsewhere)
        too_few = made.run(*words, *elsewhere, "--restart-again", str(again - 1))

        assert again == len(made.restarts())
        assert (refused.returncode, too_few.returncode) == (7, 7)
        assert f"--restart-again {again}" in refused.stderr
        assert len(made.admin("ledger")) == effects
        assert made.run(*words, *elsewhere, "--restart-again", str(again)).returncode == 0
        assert set(made.restarts().values()) == {2}


def test_invalid_inputs_have_an_exit_code_and_a_fix(tmp_path: Path) -> None:
    """An edited plan, an unknown option, a missing file and an unreachable endpoint have their exit
    codes and a fix.
    """
    with stage(tmp_path, size=36) as made:
        plan = _planned(made)
        edited = plan.read_bytes().replace(b'"name":"end"', b'"name":"END"', 1)
        (tmp_path / "edited.plan.json").write_bytes(edited)
        lost = (
            (tmp_path / "end.yaml")
            .read_text()
            .replace(
                "    - source: ecs\n      regions: [cn-hangzhou, cn-shanghai]\n",
                "    - { source: csv, path: gone.csv, region: cn-hangzhou }\n",
            )
        )
        (tmp_path / "from-csv.yaml").write_text(lost)
        cases = [
            (("apply", "edited.plan.json", "--no-input"), 9),
            (("plan", "missing.yaml"), 74),
            (("plan", "from-csv.yaml"), 74),
            (("plan", "end.yaml", "--outt", "x"), 64),
            (("plan", "end.yaml", "--endpoint", "http://127.0.0.1:9", "--api-timeout", "1s"), 1),
            (("plan", "end.yaml", "--endpoint", "http://example.com"), 78),
            (("status", "r-nothing"), 64),
        ]
        for words, code in cases:
            ended = made.run(*words)
            assert ended.returncode == code, f"{words}: {ended.returncode}\n{ended.stderr}"
            assert "error[R0" in ended.stderr, f"{words}: {ended.stderr}"
            assert "help:" in ended.stderr, f"{words}: {ended.stderr}"
            assert TRACEBACK not in ended.stdout + ended.stderr
        assert made.admin("ledger") == []


def test_without_credentials_no_call_is_sent(tmp_path: Path) -> None:
    """Without credentials the command ends with 4 and lists the sources that it checked."""
    with stage(tmp_path, size=36) as made:
        made.write_spec("end")
        environment = made.environment()
        del environment["ROLLOUT_EMULATOR"]
        environment |= {"ROLLOUT_ENDPOINT": "https://ecs.cn-hangzhou.aliyuncs.com"}
        environment |= {"HOME": str(tmp_path), "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
        ended = subprocess.run(
            made.command("plan", "end.yaml"),
            cwd=made.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 4, ended.stderr
        assert "error[R04" in ended.stderr
        assert TRACEBACK not in ended.stderr
