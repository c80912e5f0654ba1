"""Read and verify the audit log of a run, which is its journal.

Called by `audit show` and `audit verify`. Changes nothing on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rollout.errors import UsageError
from rollout.journal import audit, verify
from rollout.journal.audit import AuditEntry
from rollout.journal.chain import parse_head
from rollout.journal.reader import read, read_plan
from rollout.journal.verify import LastLine, Verdict
from rollout.model.plan import Plan

__all__ = ["AuditEntry", "LastLine", "Log", "Verdict", "read_log", "verify_journal"]


class Log(NamedTuple):
    """The plan of a run and its events in order."""

    plan: Plan
    entries: Iterator[AuditEntry]


def read_log(run_dir: Path, instance: str | None = None) -> Log:
    """Return all events of a run, or those of one instance and of the whole run.

    A damaged journal raises IntegrityError R09xx while the entries are read.
    Errors: UsageError R0003 if the run never started.
    """
    reader = read(run_dir)
    next(iter(reader), None)
    if reader.started is None:
        raise UsageError.of("R0003", f"run {run_dir.name} never started: its journal is empty")
    plan = read_plan(run_dir, reader.started.plan_digest)
    if instance is None:
        return Log(plan, audit.entries(plan, read(run_dir)))
    return Log(plan, iter(audit.life(plan, read(run_dir), instance)))


def verify_journal(run_dir: Path, head: str | None = None) -> Verdict:
    """Verify a run's hash chain, rules and caps from its directory alone.

    `head` is the last line that is known to be genuine, as `SEQ:HASH`. The verdict lists the
    violations. Errors: UsageError R0001 if `head` is malformed.
    """
    try:
        known = None if head is None else parse_head(head)
    except ValueError as error:
        raise UsageError.of("R0001", f"--head {head}: {error}") from None
    return verify.verify(run_dir, head=known)
