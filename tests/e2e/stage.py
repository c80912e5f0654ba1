"""Environment of black-box tests: the real command line, an emulator process, its hidden ledger."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPEC = """\
apiVersion: rollout/v1
kind: KeyRotation
metadata: {{ name: {name} }}
spec:
  keyPair: {{ name: {name}-key, publicKeyFile: keys/new.pub, ensure: import }}
  inventory:
    - source: ecs
      regions: [{regions}]
{select}  restart: {{ settleWindow: 2s, calls: {calls} }}
  budgets:
    - {{ by: fleet, maxDown: {max_down} }}
  waves:
    - {{ name: canary, size: 3 }}
    - {{ name: bulk, size: rest }}
"""

STANDARD = {
    "calls": "single",
    "max_down": "50%",
    "select": "",
    "regions": "cn-hangzhou, cn-shanghai",
}
"""Default values of the placeholders in a spec."""

ROLLOUT = (sys.executable, "-m", "rollout")

PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILeP+MwF0gebanefFT64H2TuBsQe30DyfHqy2yhRoUw8 new@example"
)


def free_port() -> int:
    """Return a loopback port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Stage:
    """One emulator and one project directory."""

    folder: Path
    url: str

    def environment(self) -> dict[str, str]:
        """Return the variables that a user would export, and the path of this source tree."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        kept["PYTHONPATH"] = str(Path(__file__).parents[2])
        return {**kept, "ROLLOUT_EMULATOR": "1", "ROLLOUT_ENDPOINT": self.url, "NO_COLOR": "1"}

    def beside(self, folder: Path) -> Stage:
        """Return another project directory that uses the same emulator."""
        folder.mkdir()
        return Stage(folder, self.url)

    def command(self, *words: str) -> list[str]:
        """Return a `rollout` command line for this interpreter."""
        return [*ROLLOUT, *words]

    def run(
        self, *words: str, timeout: float = 90, program: Sequence[str] = ROLLOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run a command until it ends. `program` can be another program with the same arguments."""
        return subprocess.run(
            [*program, *words],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def begin(self, *words: str, program: Sequence[str] = ROLLOUT) -> subprocess.Popen[str]:
        """Start a command without waiting for it. `program` as in `run`."""
        return subprocess.Popen(
            [*program, *words],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def admin(self, what: str) -> list[dict[str, Any]]:
        """Return rows of the emulator's hidden ledger, or of its instances."""
        with urllib.request.urlopen(f"{self.url}/_admin/{what}") as answer:  # noqa: S310
            return [json.loads(line) for line in answer.read().splitlines()]

    def disarm(self) -> None:
        """Remove all faults from the emulator."""
        self.arm()

    def arm(self, *faults: dict[str, Any]) -> None:
        """Replace the emulator's faults."""
        body = json.dumps({"faults": faults}).encode()
        urllib.request.urlopen(f"{self.url}/_admin/faults", body).close()  # noqa: S310

    def restarts(self) -> Counter[str]:
        """Return how often each instance was rebooted or started."""
        rows = self.admin("ledger")
        return Counter(row["instance"] for row in rows if row["effect"] in ("reboot", "start"))

    def await_restarts(self, number: int, apply: subprocess.Popen[str], plan: str) -> None:
        """Wait until `apply` has restarted this many targets of its plan. Where no more may be down
        at once, every restart that it intended has reached the service.
        """
        targets = self.targets(plan)
        while len(self.restarts().keys() & targets) < number:
            assert apply.poll() is None, apply.communicate()
            time.sleep(0.05)

    def await_boots(self) -> None:
        """Wait until no instance of the emulator boots."""
        until = time.monotonic() + 60
        while any(row["status"] in ("Starting", "Stopping") for row in self.admin("instances")):
            assert time.monotonic() < until, "an instance still boots after a minute"
            time.sleep(0.05)

    def wrong(self, plan: str, *, down_max: int) -> str:
        """Compare the hidden ledger with the rotation of a plan. Return the differences, empty if
        none.

        Each target is restarted once and has the plan's key in force, no other instance has the
        key, and at most `down_max` targets were down at once.
        """
        targets = self.targets(plan)
        key = json.loads((self.folder / plan).read_bytes())["keys"][0]["name"]
        restarts = self.restarts()
        in_force = {
            row["instance"] for row in self.admin("instances") if row["key_in_force"] == key
        }
        twice = sorted(target for target in targets if restarts[target] != 1)
        down = self.down_at_most(targets)
        fine = targets and not twice and in_force == targets and down <= down_max
        return "" if fine else f"not once {twice} in force {in_force ^ targets} down {down}"

    def targets(self, plan: str) -> set[str]:
        """Return the ids of the instances that a plan rotates."""
        read = json.loads((self.folder / plan).read_bytes())
        return {
            target["instance"]
            for wave in read["waves"]
            for cell in wave["cells"]
            for batch in cell["batches"]
            for target in batch["targets"]
        }

    def down_at_most(self, instances: set[str]) -> int:
        """Return how many of these instances were down at once at most, by the hidden ledger.

        Only reboots count: instances that were Stopped at planning were not down because of the
        run.
        """
        rows = [row for row in self.admin("ledger") if row["instance"] in instances]
        boots = [row for row in rows if row["effect"] == "reboot"]
        steps = [(row["at"], 1) for row in boots] + [(row["until"], -1) for row in boots]
        return max(itertools.accumulate(step for _, step in sorted(steps)), default=0)

    def write_spec(self, name: str, *, case: str = "", **words: str) -> Path:
        """Write a spec and its public key to the project directory. `words` replace default values.

        With `case` it selects only instances with this value of the tag `case`.
        """
        if case:
            words["select"] = f'      select: "case={case}"\n'
        (self.folder / "keys").mkdir(exist_ok=True)
        (self.folder / "keys" / "new.pub").write_text(PUBLIC_KEY + "\n")
        spec = self.folder / f"{name}.yaml"
        spec.write_text(SPEC.format(name=name, **(STANDARD | words)))
        return spec


LISTENING_S = 60
"""A machine that runs several suites at once takes its time to start a process."""


@contextlib.contextmanager
def stage(
    folder: Path, *, size: int | None = 40, seed: int = 1, options: tuple[str, ...] = ()
) -> Iterator[Stage]:
    """Run an emulator on a free port until the block ends. Without `size`, `options` give the
    fleet.
    """
    port = free_port()
    words = ["emulator", "--listen", f"127.0.0.1:{port}", "--seed", str(seed)]
    words += [] if size is None else ["--size", str(size)]
    made = Stage(folder, f"http://127.0.0.1:{port}")
    process = made.begin(*words, *options)
    try:
        _wait_for(port, process)
        yield made
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    patience = time.monotonic() + LISTENING_S
    while time.monotonic() < patience:
        if process.poll() is not None:
            message = f"the emulator ended: {process.communicate()[1]}"
            raise RuntimeError(message)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    message = "the emulator does not listen"
    raise RuntimeError(message)
