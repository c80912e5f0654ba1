"""`audit verify`: verify a run from its journal and its plan alone.

Called by `audit verify` and by the simulator's checkers. Changes nothing, and uses no code of the
core: `reader` checks the chain, `recheck` the rules.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from rollout.errors import Exit, IntegrityError, Place, Problem
from rollout.journal.chain import Head
from rollout.journal.recheck.rules import Rules
from rollout.journal.store import StoredRun
from rollout.model import limits
from rollout.model.event import TornTail
from rollout.model.phrase import say


class GroupPeak(msgspec.Struct, frozen=True):
    """The most instances of a group that may have been down at one time, and the group's cap."""

    key: str
    peak: int
    cap: int


LastLine = Literal["head", "seal", "unprotected"]
"""What protects the last line from changes: a head kept outside, the seal next to the journal, or
nothing. Every other line is protected by the next one."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result. `problems` are the first PROBLEMS_SHOWN_MAX of `problems_found`.

    `lines` is the number of valid lines, `head` the digest of the last one. `sealed`: the journal
    was closed in order, so a cut tail would be detected. `torn`: a crash left an incomplete line,
    which a resume will cut. `classes` sum to `found`; unless the run is `closed`, they count
    unfinished instances as if the run ended here. `failed_down` of the failed instances are down,
    the others serve. `approved` are the keys with valid approvals.
    """

    run: str
    plan_digest: str = ""
    plan_matches: bool = False
    lines: int = 0
    head: str = ""
    sealed: bool = False
    last_line: LastLine = "unprotected"
    torn: TornTail | None = None
    closed: bool = False
    found: int = 0
    classes: dict[str, int] = {}
    failed_down: int = 0
    unfinished: int = 0
    calls: dict[str, int] = {}
    attached: int = 0
    restarted: int = 0
    resumes: int = 0
    late: int = 0
    exposed_peak: int = 0
    groups: tuple[GroupPeak, ...] = ()
    approved: tuple[str, ...] = ()
    approvals_required: int = 0
    problems: tuple[Problem, ...] = ()
    problems_found: int = 0

    @property
    def exit(self) -> Exit:
        """Return 9 if there are problems, else 0."""
        return Exit.INTEGRITY if self.problems_found else Exit.DONE


def verify(run: StoredRun, *, head: Head | None = None) -> Verdict:
    """Check chain, plan and rules of one run, and that it contains the line `head`, which the
    caller kept outside the store.

    Errors: StorageError R0802. Violations are in the verdict.
    """
    case = _Case(run, head)
    try:
        case.read()
    except IntegrityError as error:
        for problem in error.problems:
            case.add(problem)
    return case.verdict()


class _Case:
    """One verification in progress."""

    def __init__(self, run: StoredRun, head: Head | None) -> None:
        self.run = run
        self.reader = run.read()
        self.head = head
        self.rules: Rules | None = None
        self.problems: list[Problem] = []
        self.count = 0

    def read(self) -> None:
        """Check every line, to the end or to the first invalid one."""
        for line in self.reader:
            if line.seq == 1:
                self._load()
            self._compare(line.seq)
            if self.rules is None:
                continue
            for number, event in enumerate(line.body, 1):
                for text in self.rules.take(event):
                    self._broken(f"{line.seq}-{number}: {text}")
        if self.head is not None and self.reader.head.seq < self.head.seq:
            message = say(
                "the journal ends at line {last}, before that of --head ({expected})",
                last=self.reader.head.seq,
                expected=self.head.seq,
            )
            self.add(Problem("R0907", message, self.reader.place))
        if self.reader.head.seq == 0:
            message = say("the journal has no complete line: the run did not start")
            self.add(Problem("R0902", message, self.reader.place))
        if self.reader.torn is not None and self.rules is not None and self.rules.closed:
            message = say("there is data after the line that closed the run")
            self.add(Problem("R0904", message, self.reader.place))

    def add(self, problem: Problem) -> None:
        """Count a problem, and keep the first ones."""
        self.count += 1
        if len(self.problems) < limits.PROBLEMS_SHOWN_MAX:
            self.problems.append(problem)

    def verdict(self) -> Verdict:
        """Return the result up to here."""
        reader, rules = self.reader, self.rules
        found = Verdict(
            run=self.run.id,
            plan_digest=reader.started.plan_digest if reader.started else "",
            lines=reader.head.seq,
            head=reader.head.sha256,
            sealed=reader.sealed_at > 0,
            last_line=self._last_line(),
            torn=reader.torn,
            problems=tuple(self.problems),
            problems_found=self.count,
        )
        if rules is None:
            return found
        instances, calls = rules.instances, rules.calls
        peaks = zip(rules.plan.groups, instances.peaks, strict=True)
        return msgspec.structs.replace(
            found,
            plan_matches=True,
            closed=rules.closed,
            found=rules.plan.counts.found,
            classes=instances.classes(),
            failed_down=len(instances.failed_down),
            unfinished=instances.unfinished,
            calls=dict(sorted(calls.counts.items())),
            attached=calls.attached,
            restarted=calls.restarted,
            resumes=rules.resumes,
            late=calls.late,
            approved=tuple(rules.approvals.signed),
            approvals_required=rules.approvals.required,
            exposed_peak=instances.exposed_peak,
            groups=tuple(GroupPeak(group.key, peak, group.cap) for group, peak in peaks),
        )

    def _compare(self, seq: int) -> None:
        """Compare this line with `head` if it has its number."""
        found = self.reader.head
        if self.head is not None and self.head.seq == seq and self.head != found:
            message = say(
                "line {line} hashes to {actual}, --head says {expected}",
                line=seq,
                actual=found.sha256,
                expected=self.head.sha256,
            )
            self.add(Problem("R0907", message, self.reader.place))

    def _last_line(self) -> LastLine:
        if self.head == self.reader.head:
            return "head"
        return "seal" if self.reader.sealed_at == self.reader.head.seq else "unprotected"

    def _load(self) -> None:
        """Load the plan. Without it only the chain is checked."""
        started = self.reader.started
        if started is None:
            return
        try:
            plan = self.run.plan(started.plan_digest)
        except IntegrityError as error:
            for problem in error.problems:
                self.add(problem)
        else:
            self.rules = Rules(plan)

    def _broken(self, text: str) -> None:
        place = self.reader.place
        self.add(Problem("R0905", text, Place(place.file, place.line)))
