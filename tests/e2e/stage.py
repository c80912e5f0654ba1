"""A stage for black-box tests: the real command line, an emulator process, the hidden ledger."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
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
      regions: [cn-hangzhou, cn-shanghai]
  restart: {{ settleWindow: 2s, calls: {calls} }}
  budgets:
    - {{ by: fleet, maxDown: {max_down} }}
  waves:
    - {{ name: canary, size: 3 }}
    - {{ name: bulk, size: rest }}
"""

PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILeP+MwF0gebanefFT64H2TuBsQe30DyfHqy2yhRoUw8 new@example"
)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Stage:
    """One emulator and one project folder."""

    folder: Path
    url: str

    def environment(self) -> dict[str, str]:
        """What a user would have exported."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return {**kept, "ROLLOUT_EMULATOR": "1", "ROLLOUT_ENDPOINT": self.url, "NO_COLOR": "1"}

    def command(self, *words: str) -> list[str]:
        """A `rollout` command line of this interpreter."""
        return [sys.executable, "-m", "rollout", *words]

    def run(self, *words: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def admin(self, what: str) -> list[dict[str, Any]]:
        """Rows of the emulator's hidden ledger, or of its instances."""
        with urllib.request.urlopen(f"{self.url}/_admin/{what}") as answer:  # noqa: S310
            return [json.loads(line) for line in answer.read().splitlines()]

    def restarts(self) -> Counter[str]:
        """How often each instance was rebooted or started."""
        rows = self.admin("ledger")
        return Counter(row["instance"] for row in rows if row["effect"] in ("reboot", "start"))

    def write_spec(self, name: str, *, calls: str = "single", max_down: str = "50%") -> Path:
        """A spec of this fleet in the project folder."""
        (self.folder / "keys").mkdir(exist_ok=True)
        (self.folder / "keys" / "new.pub").write_text(PUBLIC_KEY + "\n")
        spec = self.folder / f"{name}.yaml"
        spec.write_text(SPEC.format(name=name, calls=calls, max_down=max_down))
        return spec


@contextlib.contextmanager
def stage(
    folder: Path, *, size: int = 40, seed: int = 1, options: tuple[str, ...] = ()
) -> Iterator[Stage]:
    """An emulator process on a free port, ended with the block."""
    port = free_port()
    words = ["emulator", "--listen", f"127.0.0.1:{port}", "--size", str(size), "--seed", str(seed)]
    made = Stage(folder, f"http://127.0.0.1:{port}")
    process = made.begin(*words, *options)
    try:
        _wait_for(port, process)
        yield made
    finally:
        process.terminate()
        process.communicate(timeout=20)


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            message = f"the emulator ended: {process.communicate()[1]}"
            raise RuntimeError(message)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    message = "the emulator does not listen"
    raise RuntimeError(message)
