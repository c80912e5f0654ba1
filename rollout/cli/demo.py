"""Run the steps of `rollout demo`: the command line rotates an emulated fleet.

Called by the command `demo`. Each step is a separate process, as an operator would start it; one is
killed. The emulator's hidden ledger then shows whether every promise held.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from rollout.app import demo, plan_file, safety_rules
from rollout.cli import language
from rollout.cli.language import tr
from rollout.cli.terminal import Terminal, write
from rollout.errors import RunError
from rollout.model.phrase import say

PLAN = "quickstart.plan.json"
BOOT_TIME = "1s"
FAULTS = """\
# Errors, slow replies, and replies that are lost after the service executed the call.
# No throttling: it would pause a lane for the rest of the minute.
- { fault: error_before, probability: 0.02, actions: [RebootInstance, StartInstance] }
- { fault: error_after, probability: 0.02, actions: [AttachKeyPair, RebootInstance] }
- { fault: lost_after, probability: 0.03, actions: [AttachKeyPair, RebootInstance] }
- { fault: slow, probability: 0.05, delay: 300ms }
"""

_POLL_S = 0.2
_STEP_S_MAX = 300
_START_S_MAX = 20
_SHOW_CURSOR = "\x1b[?25h"
"""Printed after a kill, because the killed process cannot show the cursor again."""


Row = TypeVar("Row")


class Demo:
    """One demo in its own directory."""

    def __init__(self, terminal: Terminal, folder: Path, size: int, seed: int) -> None:
        self.terminal = terminal
        self.folder = folder
        self.size = size
        self.seed = seed
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("ROLLOUT_")
        } | {**safety_rules.DISABLED, language.VARIABLE: language.current()}
        self.url = ""

    def run(self) -> list[demo.Finding]:
        """Run all steps; return the findings of the hidden ledger. RunError if a step fails."""
        began = time.monotonic()
        demo.lay_out(self.folder)
        self._say(
            tr(
                "{size} emulated instances, some faults, one SIGKILL; no cloud account.",
                size=self.size,
            )
        )
        with self._emulator():
            self._run("validate", demo.SPEC)
            self._run("plan", demo.SPEC, "--out", PLAN)
            saved = plan_file.load_plan(self.folder / PLAN)
            self._run_and_kill("apply", PLAN, after=saved.plan.counts.targets // 2)
            self._run("status")
            self._run("resume", "--last")
            self._run("audit", "verify")
            findings = demo.judge(
                saved.plan,
                self._rows("ledger", demo.EffectLine),
                self._rows("instances", demo.InstanceLine),
            )
        self._conclude(findings, time.monotonic() - began)
        return findings

    def _conclude(self, findings: Sequence[demo.Finding], seconds: float) -> None:
        lines = [
            f"  {'ok ' if one.holds else 'NOT'}  {language.translated(one.text)}"
            for one in findings
        ]
        self._say(tr("The emulator's hidden ledger, which rollout never reads, says:"))
        self.terminal.show("\n".join(lines))
        shown = os.path.relpath(self.folder)
        self._say(
            tr("Done in {seconds:.0f} s. The files are in {folder}:", seconds=seconds, folder=shown)
        )
        runs = sorted((self.folder / "runs").glob("r-*"))
        names = [
            demo.SPEC,
            PLAN,
            *(f"{run.relative_to(self.folder)}/" for run in runs),
            "faults.yaml",
        ]
        self.terminal.show("\n".join(f"  {name}" for name in names))
        self._say(
            tr(
                "Read the audit log (in {folder}; add --instance ID for one instance):",
                folder=shown,
            )
        )
        self.terminal.show(f"  {_program()} audit show")

    @contextmanager
    def _emulator(self) -> Iterator[None]:
        (self.folder / "faults.yaml").write_text(FAULTS, "utf-8")
        line = ["emulator", "--listen", "127.0.0.1:0", "--size", str(self.size)]
        line += ["--seed", str(self.seed), "--boot-time", BOOT_TIME, "--faults", "faults.yaml"]
        self._echo(line, "&")
        log = (self.folder / "emulator.log").open("wb")
        with log, self._start(line, stdout=subprocess.PIPE, stderr=log) as process:
            try:
                self._point_at(process)
                yield
            finally:
                process.terminate()
                process.wait(_START_S_MAX)

    def _point_at(self, process: subprocess.Popen[bytes]) -> None:
        """Read the environment from the lines that the emulator prints when it is ready."""
        assert process.stdout is not None  # noqa: S101 - requested in _start
        for raw in process.stdout:
            name, _, value = raw.decode().removeprefix("export ").strip().partition("=")
            self.environment[name] = value
            if name == "ALIBABA_CLOUD_ENDPOINT":
                self.url = self.environment["ROLLOUT_ENDPOINT"]
                return
        raise RunError.of(
            "R0013",
            say("the emulator did not start, see {folder}", folder=self.folder / "emulator.log"),
        )

    def _run(self, *arguments: str) -> None:
        """Run one step that must end with exit 0."""
        self._echo(arguments)
        with self._start(arguments) as process:
            code = process.wait(_STEP_S_MAX)
        if code != 0:
            raise RunError.of(
                "R0502",
                say(
                    "rollout {command} ended with {code} in the demo",
                    command=arguments[0],
                    code=code,
                ),
            )

    def _run_and_kill(self, *arguments: str, after: int) -> None:
        """Run one step, and kill it when the ledger shows that many restarts."""
        self._echo(arguments)
        with self._start(arguments) as process:
            while process.poll() is None:
                effects = self._rows("ledger", demo.EffectLine)
                if sum(effect.effect in demo.RESTARTS for effect in effects) >= after:
                    process.kill()
                    break
                time.sleep(_POLL_S)
            code = process.wait()
        if self.terminal.live:
            write(sys.stderr, _SHOW_CURSOR)
        if code >= 0:
            raise RunError.of(
                "R0502",
                say(
                    "rollout {command} ended with {code} before it was killed",
                    command=arguments[0],
                    code=code,
                ),
            )
        self._say(tr("SIGKILL after {number} restarts, without warning or cleanup.", number=after))

    @contextmanager
    def _start(
        self,
        arguments: Sequence[str],
        *,
        stdout: int | None = None,
        stderr: IO[bytes] | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start a command; a signal to the demo ends it too."""
        with subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "rollout", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        ) as process:
            try:
                yield process
            except BaseException:
                process.terminate()
                raise

    def _rows(self, name: str, kind: type[Row]) -> list[Row]:
        with urllib.request.urlopen(f"{self.url}/_admin/{name}", timeout=30) as reply:  # noqa: S310
            return [msgspec.json.decode(line, type=kind) for line in reply]

    def _echo(self, arguments: Sequence[str], end: str = "") -> None:
        self._say(f"$ rollout {shlex.join(arguments)} {end}".rstrip())

    def _say(self, text: str) -> None:
        self.terminal.show(f"\n{text}")


def _program() -> str:
    """Return the command for `rollout`, with its path if it is not in PATH."""
    neighbor = Path(sys.executable).with_name("rollout")
    return str(neighbor) if shutil.which("rollout") is None and neighbor.is_file() else "rollout"
