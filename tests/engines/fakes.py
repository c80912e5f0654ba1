"""Scripted ports for the local engine, without sockets, disk or waiting."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import msgspec

from rollout.core.running.decider import Decider
from rollout.engines.local import LocalEngine
from rollout.engines.ports import Ports
from rollout.errors import RolloutError, StorageError
from rollout.model.event import AnyEvent, LaneRecovered, LaneSlowed, OperatorCommand
from rollout.model.instance import Instance, Status
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Done, Outcome, Refused, Unknown
from rollout.model.plan import Plan, RestartKind
from rollout.model.site import Site
from rollout.model.time import SECOND, Instant
from tests.core import samples


class FakeClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.instant = samples.NOW

    def now(self) -> Instant:
        return self.instant

    def expired(self, not_after: Instant) -> bool:
        return self.instant > not_after

    async def sleep_until(self, instant: Instant) -> None:
        self.instant = max(self.instant, instant)


class FakeJournal:
    """Keeps lines in memory; `fails_at` names the sync that breaks the disk."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.pending: list[AnyEvent] = []
        self.lines: list[list[AnyEvent]] = []
        self.durable: list[AnyEvent] = []
        self.words: list[AnyEvent] = []
        self.fails_at = 0
        self.fails_with: RolloutError = StorageError.of("R0801", "the disk is broken")
        self.syncs = 0
        self.full = False
        self.hears_words = True

    def append(self, events: list[AnyEvent], at: Instant) -> None:
        self.lines.append(list(events))
        self.pending += events

    async def sync(self) -> None:
        self.syncs += 1
        if self.fails_at and self.syncs >= self.fails_at:
            raise self.fails_with
        self.durable += self.pending
        self.pending.clear()
        self.log.append("sync")

    def append_final(self, events: list[AnyEvent], at: Instant) -> bool:
        self.words += events
        return self.hears_words

    def low_space(self) -> bool:
        return self.full


class FakeOperators:
    """Commands that arrive when a test puts them in `sent`."""

    def __init__(self, log: list[str]) -> None:
        self.sent: list[OperatorCommand] = []
        self.log = log

    def take(self) -> list[OperatorCommand]:
        taken, self.sent = self.sent, []
        return taken

    def done(self, order: OperatorCommand) -> None:
        self.log.append(f"done {order.command}")


class FakeEcs:
    """Executes calls at once; a call of `hangs` waits for `release`."""

    def __init__(self, rows: list[Instance], clock: FakeClock, log: list[str]) -> None:
        self.rows = {row.id: row for row in rows}
        self.clock = clock
        self.log = log
        self.hangs = ""
        self.lane_wait_ms = 0
        self.entered = anyio.Event()
        self.release = anyio.Event()
        self.stopping = anyio.Event()

    async def attach_key_pair(
        self, site: Site, key_pair: str, instances: tuple[str, ...], *, not_after: Instant
    ) -> Answer:
        await self._called("attach")
        for name in instances:
            self._change(name, key_pair=key_pair)
        return Answer(Done("r-1"))

    async def restart(
        self, site: Site, kind: RestartKind, instances: tuple[str, ...], *, not_after: Instant
    ) -> Answer:
        await self._called("restart")
        for name in instances:
            self._change(name, started_at=self.clock.now() + 60 * SECOND, status=Status.RUNNING)
        return Answer(Done("r-2"))

    async def import_key_pair(
        self, site: Site, key_pair: str, public_key: str, *, not_after: Instant
    ) -> Outcome:
        await self._called("import")
        return Done("r-3")

    def lane_changes(self) -> list[LaneSlowed | LaneRecovered]:
        return []

    def stop(self) -> None:
        self.stopping.set()

    async def observe_instances(
        self, site: Site, instances: tuple[str, ...]
    ) -> Described | Refused | Unknown:
        self.clock.instant += self.lane_wait_ms
        left_at = self.clock.now()
        return Described(tuple(self.rows[name] for name in instances), left_at, left_at=left_at)

    async def observe_statuses(
        self, site: Site, instances: tuple[str, ...]
    ) -> StatusesDescribed | Refused | Unknown:
        return StatusesDescribed(dict.fromkeys(instances, Status.RUNNING), self.clock.now())

    async def observe_key_pair(self, site: Site, key_pair: str) -> KeyDescribed | Refused | Unknown:
        return KeyDescribed(samples.PUBLIC_KEY, samples.FINGERPRINT, self.clock.now())

    async def _called(self, what: str) -> None:
        self.log.append(what)
        if self.hangs == what:
            self.entered.set()
            await self.release.wait()

    def _change(self, name: str, **changes: object) -> None:
        self.rows[name] = msgspec.structs.replace(self.rows[name], **changes)


class Hurried(LocalEngine):
    """Does not wait for time: where nothing arrives, the clock is set to the wake."""

    clock: FakeClock

    async def _wait(self, wake: Instant | None) -> None:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
            if self.loop.inbox:
                return
        if wake is None:
            await self._arrived.wait()
        else:
            await self.clock.sleep_until(wake)


class Stage:
    """A started run of `size` instances on fakes."""

    def __init__(self, size: int = 4, cap: int = 4) -> None:
        rows = samples.fleet(size)
        self.log: list[str] = []
        self.clock = FakeClock()
        self.journal = FakeJournal(self.log)
        self.ecs = FakeEcs(rows, self.clock, self.log)
        self.plan: Plan = samples.make_plan(rows, samples.capped(cap))
        self.operators = FakeOperators(self.log)
        self.engine = Hurried(Ports(self.clock, self.ecs, self.journal, self.operators))
        self.engine.clock = self.clock
        self.decider = Decider(self.plan)
        self.decider.start("run-1", "sha256:0", samples.ACTOR, self.clock.now())

    async def drive(self, *, signals: bool = False) -> None:
        with anyio.fail_after(10):
            await self.engine.drive(self.decider, signals=signals)
