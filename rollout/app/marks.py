"""Mark the key pairs of a run while a process drives it, and find out who else marks them.

Called by `execute` and `fence`. The marks are advisory: where they cannot be read or written, the
run goes without them. Two runs that start at the same moment may both mark a key pair; each reads
the mark back, and the run whose mark was replaced halts.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import anyio

from rollout.app import parallel, person, safety_rules
from rollout.app.notices import Notices
from rollout.core.running.state import Run
from rollout.engines.service import Service
from rollout.errors import Problem, RolloutError
from rollout.journal.store import RunStore
from rollout.model import limits
from rollout.model.event import RunStarted
from rollout.model.fence import LIFE_MS, TAG_KEY, Fence, origin_of, read
from rollout.model.outcome import Done, Refused, RetryClass, Unknown
from rollout.model.phrase import Phrase, say
from rollout.model.plan import Plan
from rollout.model.site import Site
from rollout.model.time import Duration, format_instant

RENEW_S: Final = LIFE_MS / 3000
RETRY_S: Final = 1.0
"""First pause while a key pair is not marked yet, such as one that the run imports; it doubles."""
REPLACED_S: Final = 2.0
"""When the marks are read again after the first ones were written: a run that found no mark in the
same moment has written its own by then.
"""
VISIT_S: Final = 5.0
"""How long the calls of a wave wait for a reading: what has not answered by then is not read."""
WRITE_MS: Final[Duration] = 1_000
"""A mark is written at most this long after it was read: a run that read it back and reads it again
after `REPLACED_S` finds a later one.
"""
END_S: Final = 3.0
"""How long the end of a process waits until its marks are removed."""

MarkedKeyPair = tuple[Site, str]
"""A key pair: its account and region, and its name."""


def key_pairs(plan: Plan) -> list[MarkedKeyPair]:
    """Return the key pairs that a run of the plan attaches."""
    return sorted({(one.site, key.name) for key in plan.keys for one in key.regions})


async def read_from(service: Service, marked: MarkedKeyPair) -> Fence | None:
    """Return the mark on a key pair; None without one, or if it cannot be read."""
    site, name = marked
    tags = await service.client.key_pair_tags(site.region, name)
    return None if isinstance(tags, Refused | Unknown) else read(tags.get(TAG_KEY, ""))


def described(marked: MarkedKeyPair, found: Fence) -> Phrase:
    """Return who marked a key pair, and until when."""
    site, name = marked
    return say(
        "run {run} of {by} attaches key pair {name} in {region} from another runs directory; "
        "its mark counts until {until}",
        run=found.run,
        by=found.by,
        name=name,
        region=site.region,
        until=format_instant(found.until),
    )


def is_foreign(found: Fence, store: RunStore) -> bool:
    """Return whether the mark is of another runs directory than `store`. One that cannot be read
    knows no run.
    """
    try:
        return not any(found.is_of(run.started) for run in store.runs() if run.id == found.run)
    except RolloutError:
        return True


def marks_of(run: Run, service: Service, store: RunStore) -> Marks | None:
    """Return the marks for a started run; None for an aborted one, which attaches nothing more."""
    if run.aborted is not None or run.started is None:
        return None
    return Marks(service, store, run.started, run.epoch, key_pairs(run.plan))


async def while_driving(
    drive: Callable[[], Awaitable[None]], marks: Marks | None, notices: Notices
) -> None:
    """Drive a run. Mark its key pairs meanwhile, and remove the marks at the end; None: no marks.

    Errors: those of `drive`.
    """
    if marks is None:
        await drive()
        return
    error: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(marks.keep, notices)
        try:
            await drive()
        except Exception as raised:  # noqa: BLE001 - raised again below, not in a group
            error = raised
        tasks.cancel_scope.cancel()
    with anyio.move_on_after(END_S), contextlib.suppress(Exception):
        await marks.remove()
    if error is not None:
        raise error


@dataclass(slots=True)
class Marks:
    """The marks of one process that drives a run. Implements the engine's port `KeyPairMarks`."""

    service: Service
    store: RunStore
    started: RunStarted
    epoch: int
    key_pairs: list[MarkedKeyPair]
    _written: set[str] = field(default_factory=set)
    _marked: set[MarkedKeyPair] = field(default_factory=set)
    _refused: str | Phrase = ""
    _lost: str = ""
    _found: anyio.Event = field(default_factory=anyio.Event)
    _turn: anyio.Lock = field(default_factory=anyio.Lock)
    _read_for: int = -1

    def lost(self) -> str:
        """Return which run of another runs directory marked a key pair; empty if none is known."""
        return self._lost

    async def found(self) -> None:
        """Return once `lost` has a text."""
        await self._found.wait()

    async def read_before(self, wave: int) -> None:
        """Read the marks before the first call of a wave, after writing those that are missing.

        Calls of the wave wait at most `VISIT_S` for this reading, and as long for another one that
        is in progress.
        """
        if self._read_for >= wave:
            return
        async with self._turn:
            if self._read_for < wave:
                await self._visit(set(self.key_pairs) - self._marked)
                self._read_for = wave

    async def keep(self, notices: Notices) -> None:
        """Write, read and renew the marks until cancelled; warn once if they are not permitted.

        A key pair that does not exist yet is tried again: the run imports it. Raises nothing.
        """
        pause_s, warned = RETRY_S, False
        while True:
            await self._visit_in_turn(self.key_pairs)
            if self._refused and not warned:
                warned = True
                self._warn(notices)
            if self._refused:
                pause_s = RENEW_S
            elif self._marked.issuperset(self.key_pairs):
                await anyio.sleep(REPLACED_S)
                await self._visit_in_turn(())
                pause_s = RENEW_S
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, RENEW_S)

    def _warn(self, notices: Notices) -> None:
        text = say(
            "the key pairs of the run are not marked for other operators: {why}", why=self._refused
        )
        cure = say("permit ecs:TagResources and ecs:UntagResources, or add --no-fence")
        notices.warn(Problem("R0621", text, cure=cure))

    async def remove(self) -> None:
        """Remove those marks that are still of this process."""

        async def remove_one(marked: MarkedKeyPair) -> None:
            found = await read_from(self.service, marked)
            if found is not None and found.text() in self._written:
                site, name = marked
                by = self.service.clock.now() + limits.CALL_TIMEOUT_MS
                await self.service.client.untag_key_pair(site.region, name, TAG_KEY, not_after=by)

        if self._written:
            await parallel.check_all(remove_one, self.key_pairs)

    async def _visit_in_turn(self, write: Collection[MarkedKeyPair]) -> None:
        async with self._turn:
            await self._visit(write)

    async def _visit(self, write: Collection[MarkedKeyPair]) -> None:
        """Read all marks, and write these between two readings, unless another run has its mark
        there. What takes longer than `VISIT_S` is left to the next visit.
        """
        rules = safety_rules.matched(("TagResources", "UntagResources"))
        self._refused = say("a rule about {rule}", rule=rules[0].text) if rules else ""

        async def visit(marked: MarkedKeyPair) -> None:
            if await self._is_free(marked) and marked in write and not rules:
                await self._write(marked)
                await self._is_free(marked)

        try:
            with anyio.move_on_after(VISIT_S):
                await parallel.check_all(visit, self.key_pairs)
        except Exception as error:  # noqa: BLE001 - a mark that cannot be written stops no run
            self._refused = type(error).__name__

    async def _is_free(self, marked: MarkedKeyPair) -> bool:
        """Return whether no run of another runs directory has its mark there, and note the one
        that has.
        """
        found = await read_from(self.service, marked)
        if found is None or not self._is_foreign(found):
            return True
        self._lost = self._lost or str(described(marked, found))
        self._found.set()
        return False

    def _is_foreign(self, found: Fence) -> bool:
        """Return whether a mark counts and was written for another runs directory."""
        own = found.text() in self._written or found.is_of(self.started)
        return not own and found.counts(self.service.clock.now()) and is_foreign(found, self.store)

    async def _write(self, marked: MarkedKeyPair) -> None:
        """Write one mark, or keep the reason why it is refused."""
        site, name = marked
        now = self.service.clock.now()
        mine = Fence(
            self.started.run, origin_of(self.started), self.epoch, now + LIFE_MS, _process()
        ).text()
        self._written.add(mine)  # first: a call without an answer may have written it
        outcome = await self.service.client.tag_key_pair(
            site.region, name, TAG_KEY, mine, not_after=now + WRITE_MS
        )
        if isinstance(outcome, Done):
            self._marked.add(marked)
        elif isinstance(outcome, Refused) and outcome.retry not in _TEMPORARY:
            self._refused = f"{outcome.code} {outcome.message}".strip()


def _process() -> str:
    """Return this process, as operators elsewhere read it."""
    return f"{person.user()}@{socket.gethostname()}"


_TEMPORARY: Final = frozenset(
    {RetryClass.THROTTLED, RetryClass.UNSENT, RetryClass.KEY_PAIR, RetryClass.CLOCK}
)
"""Refusals after which a mark is tried again. KEY_PAIR: there is no such key pair yet."""
