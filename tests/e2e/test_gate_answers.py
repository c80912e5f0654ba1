"""Gates that other systems open: their answers decide when the next wave starts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.e2e.stage import Stage, stage
from tests.e2e.test_stopping import cloud, run_id, write_spec


class Alerts(ThreadingHTTPServer):
    """A system that answers with `status`; with 0 it accepts requests and never answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.status = 204
        self.asked = 0
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/firing"


class _Page(BaseHTTPRequestHandler):
    server: Alerts

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.status == 0:
            self.server.ended.wait(60)
            return
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def alerts(status: int) -> Iterator[Alerts]:
    """Serve the system until the end of the block."""
    server = Alerts()
    server.status = status
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()


def planned(made: Stage, gates: str) -> str:
    """Plan the whole fleet with these gates; return the preview."""
    write_spec(made, "fleet")
    path = made.folder / "fleet.yaml"
    path.write_text(f"{path.read_text().rstrip()}\n  gates:\n    - {gates}\n")
    plan = made.run("plan", "fleet.yaml", "--out", "fleet.plan.json")
    assert plan.returncode == 0, plan.stderr
    return " ".join(plan.stdout.split())


def test_a_gate_that_goes_silent_halts_the_run_and_opens_after_the_resume(tmp_path: Path) -> None:
    """Only the canary is touched while it is silent; the audit log has each answer."""
    with alerts(status=0) as gate, stage(tmp_path, size=None, options=cloud(tmp_path)) as made:
        asked = f'{{ http: "{gate.url}", expect: 204, every: 1s, timeout: 1s, waitAtMost: 1s }}'
        assert f"http {gate.url} returns 204; asked every 1s" in planned(made, asked)
        applied = made.run("apply", "fleet.plan.json", "--no-input")
        assert applied.returncode == 5, applied.stdout + applied.stderr
        run = run_id(applied.stdout)
        assert "R0522" in applied.stdout and "no reply within 1 s (unknown)" in applied.stdout
        assert sum(made.restarts().values()) == 1

        gate.status = 204
        resumed = made.run("resume", run)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert sum(made.restarts().values()) == 5 and gate.asked >= 3
        shown = " ".join(made.run("audit", "show", run).stdout.split())
        assert f"gate after wave canary: http {gate.url}: no reply within 1 s (unknown)" in shown
        assert f"gate after wave canary: http {gate.url}: HTTP 204 (open)" in shown
        assert "gate after wave canary: all its questions are answered: open" in shown
        assert made.run("audit", "verify", run).returncode == 0


def test_a_promotion_with_a_reason_opens_a_shut_gate(tmp_path: Path) -> None:
    """With --no-wait a shut gate ends with exit 5; the reason is required and in the audit log."""
    with alerts(status=500) as gate, stage(tmp_path, size=None, options=cloud(tmp_path)) as made:
        planned(made, f'{{ http: "{gate.url}", expect: 204 }}')
        applied = made.run("apply", "fleet.plan.json", "--no-input", "--no-wait")
        assert applied.returncode == 5, applied.stdout + applied.stderr
        run = run_id(applied.stdout)
        assert f"open: rollout promote {run} --reason WHY" in " ".join(applied.stdout.split())
        status = json.loads(made.run("status", run, "-o", "json").stdout)
        assert status["shut"] and any("HTTP 500, expected 204" in why for why in status["waiting"])

        assert "--reason is required" in made.run("promote", run).stderr
        promoted = made.run("promote", run, "--reason", "alert 7 is not ours")
        assert promoted.returncode == 0, promoted.stderr
        resumed = made.run("resume", run)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert sum(made.restarts().values()) == 5 and gate.asked == 1
        shown = " ".join(made.run("audit", "show", run).stdout.split())
        assert "gate after wave canary: promoted by" in shown
        assert "alert 7 is not ours" in shown
        assert made.run("audit", "verify", run).returncode == 0


def test_a_run_whose_gate_cannot_be_asked_does_not_start(tmp_path: Path) -> None:
    """A missing program is exit 78 before the first call that changes anything."""
    with stage(tmp_path, size=None, options=cloud(tmp_path)) as made:
        planned(made, "exec: [./no-such-check]")
        applied = made.run("apply", "fleet.plan.json", "--no-input")
        assert applied.returncode == 78, applied.stdout + applied.stderr
        assert "R0343" in applied.stderr and "./no-such-check" in applied.stderr
        assert not made.restarts() and not list((tmp_path / "runs").glob("r-*"))
