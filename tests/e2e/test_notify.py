"""Receivers that are down, slow or failing for a whole run get each message once, later."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from tests.e2e.receivers import SECRET, TOKEN, Receiver, serve
from tests.e2e.stage import Stage, free_port, stage
from tests.e2e.test_stopping import run_id

FORMATS = ("cloudevents", "dingtalk", "feishu", "cloudevents")


def write_spec(made: Stage, *receivers: Receiver) -> None:
    """Write a spec that notifies these receivers, whose URLs are in files."""
    spec = made.write_spec("fleet", max_down="100%")
    lines = ["  notify:"]
    (made.folder / "secret").write_text(f"{SECRET}\n")
    for number, (form, receiver) in enumerate(zip(FORMATS, receivers, strict=False)):
        (made.folder / f"url-{number}").write_text(f"{receiver.url}\n")
        fields = f'to: "file:url-{number}", secret: "file:secret", format: {form}'
        lines.append(f"    - {{ {fields} }}")
    spec.write_text(spec.read_text() + "\n".join(lines) + "\n")


def types(receiver: Receiver) -> list[str]:
    """The types of the events that a webhook got."""
    return [event["type"].removeprefix("rollout.") for event in receiver.got]


ALL = ["run.started", "wave.closed", "wave.closed", "run.closed"]


def test_receivers_that_fail_for_a_whole_run_do_not_disturb_it(tmp_path: Path) -> None:
    """The run succeeds, status counts what is missing, and `notify` delivers it once."""
    good, failing, slow, down = Receiver(), Receiver(status=500), Receiver(delay_s=0.3), Receiver()
    down.port = free_port()
    with stage(tmp_path, size=20) as made, serve(good), serve(failing), serve(slow):
        write_spec(made, good, failing, slow, down)
        planned = made.run("plan", "fleet.yaml", "--out", "fleet.plan.json")
        assert "Notifies file:url-0" in planned.stdout, planned.stderr
        applied = made.run("apply", "fleet.plan.json")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert made.wrong("fleet.plan.json", down_max=20) == ""
        run = run_id(applied.stdout)
        assert types(good) == ALL and not good.refused
        assert sum(one["content"]["text"].count(run) for one in slow.got) >= 4 and not slow.refused
        assert "warning[R0545]" in applied.stderr and "status 500" in applied.stderr
        states = json.loads(made.run("status", run, "-o", "json").stdout)["receivers"]
        assert [one["waiting"] for one in states] == [0, 4, 0, 4]
        again = made.run("notify", run)
        assert again.returncode == 1 and not failing.got
        assert f"help: fix the cause, then run `rollout notify {run}`" in again.stderr

        failing.status = 200
        with serve(down):
            sent = made.run("notify", run)
            assert sent.returncode == 0, sent.stderr
            assert made.run("notify", run).returncode == 0
        assert types(down) == ALL and types(good) == ALL
        (joined,) = failing.got
        assert joined["text"]["content"].count("EMULATOR rollout fleet") == 4
        assert made.run("audit", "verify", run).returncode == 0
        kept = [path for path in tmp_path.rglob("*") if path.is_file()]
        leaks = [path for path in kept if path.name not in ("secret", *_urls())]
        secrets = (SECRET.encode(), TOKEN.encode())
        assert not [path for path in leaks if any(one in path.read_bytes() for one in secrets)]
        assert TOKEN not in applied.stdout + applied.stderr + sent.stdout + sent.stderr


def _urls() -> tuple[str, ...]:
    return tuple(f"url-{number}" for number in range(len(FORMATS)))


def test_a_killed_process_neither_loses_nor_repeats_a_message(tmp_path: Path) -> None:
    """The process that resumes the run continues after the last delivered message."""
    receiver = Receiver()
    with stage(tmp_path, size=20) as made, serve(receiver):
        write_spec(made, receiver)
        text = (tmp_path / "fleet.yaml").read_text()
        gated = text.replace("size: 3 }", "size: 3, gate: manual }")
        (tmp_path / "fleet.yaml").write_text(gated)
        assert made.run("plan", "fleet.yaml", "--out", "fleet.plan.json").returncode == 0
        apply = made.begin("apply", "fleet.plan.json")
        patience = time.monotonic() + 60
        while len(receiver.got) < 3 and time.monotonic() < patience:
            time.sleep(0.02)
        time.sleep(0.2)  # the cursor is durable soon after the reply
        apply.send_signal(signal.SIGKILL)
        apply.communicate(timeout=20)
        before = [*ALL[:2], "gate.shut"]
        assert types(receiver) == before

        (run,) = (path.name for path in (tmp_path / "runs").glob("r-*"))
        assert made.run("promote", run).returncode == 0
        resumed = made.run("resume", "--last")
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert types(receiver) == [*before, *ALL[2:]] and not receiver.refused
        assert made.wrong("fleet.plan.json", down_max=20) == ""
