"""Read and verify the audit log of a run, which is its journal.

Called by `audit show` and `audit verify`. Changes nothing on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rollout.app import runs
from rollout.errors import UsageError
from rollout.journal import audit, verify
from rollout.journal.audit import AuditEntry
from rollout.journal.chain import parse_head
from rollout.journal.store import StoredRun
from rollout.journal.verify import LastLine, Verdict
from rollout.model.phrase import say
from rollout.model.plan import Plan

__all__ = ["AuditEntry", "LastLine", "Log", "Verdict", "read_log", "verify_journal"]


class Log(NamedTuple):
    """The plan of a run and its events in order."""

    plan: Plan
    entries: Iterator[AuditEntry]


def read_log(run: StoredRun, instance: str | None = None) -> Log:
    """Return all events of a run, or those of one instance and of the whole run.

    A damaged journal raises IntegrityError R09xx while the entries are read.
    Errors: UsageError R0003 if the run never started.
    """
    plan = runs.plan_of(run)
    if instance is None:
        return Log(plan, audit.entries(plan, run.read()))
    return Log(plan, iter(audit.life(plan, run.read(), instance)))


def verify_journal(runs_dir: Path, run: str | None = None, head: str | None = None) -> Verdict:
    """Verify a run's hash chain, rules and caps from its plan and its journal alone.

    `run` is its id or a unique prefix; None means the newest. `head` is the last line that is known
    to be genuine, as `SEQ:HASH`. The verdict lists the violations. Errors: UsageError R0001 if
    `head` is malformed, R0003 if there is no such run.
    """
    try:
        known = None if head is None else parse_head(head)
    except ValueError as error:
        raise UsageError.of(
            "R0001", say("--head {head}: {cause}", head=head, cause=error)
        ) from None
    return verify.verify(runs.find(runs_dir, run), head=known)
