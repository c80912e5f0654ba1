"""Arguments that use cases share: where runs are stored, how to connect, where to report.

Made by the command line from its options, or by a Python program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rollout.app.notices import Notices, Progress
from rollout.journal.directory import DirectoryStore
from rollout.journal.store import RunStore
from rollout.model import limits
from rollout.model.time import Duration


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach the service. The defaults use the service's own endpoints.

    `profile` is a profile of the aliyun CLI; without one, credentials are found as the official
    SDKs find them. `endpoint` and `sts_endpoint` replace the addresses of ECS and STS. `emulator`
    connects to a `rollout emulator` on this machine with its own key. `api_timeout_ms` limits the
    retries of read-only calls before a run starts. `allow_clock_skew` accepts a clock that differs
    from the service's by more than 24 hours. `configured` are those addresses that a settings file
    names: like those of variables, they may not be a private cloud's.
    """

    profile: str | None = None
    endpoint: str | None = None
    sts_endpoint: str | None = None
    emulator: bool = False
    api_timeout_ms: Duration = limits.API_TIMEOUT_MS
    allow_clock_skew: bool = False
    configured: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where runs are stored, how to connect and where to report.

    `allow_unsafe_fs` accepts a network or user-space file system for the runs directory. Without
    `wait`, a run that would wait for an operator, a gate or a window halts (R0508, R0509, R0522,
    R0526). `until_wave` names the wave after which the run halts (R0616); empty: none.
    Without `fence`, no marks on key pairs are written, and those of other runs do not count.
    """

    runs_dir: Path = Path("runs")
    connection: Connection = Connection()
    allow_unsafe_fs: bool = False
    wait: bool = True
    until_wave: str = ""
    fence: bool = True
    notices: Notices = field(default_factory=Notices)
    progress: Progress = field(default_factory=Progress)

    @property
    def store(self) -> RunStore:
        """The store of the runs directory."""
        return DirectoryStore(self.runs_dir)
