"""Mark the key pairs of a run while a process drives it, and respect the marks of other runs.

Locks and leases protect one runs directory. These marks are tags of the key pairs, for operators
with other runs directories. They are advisory: where they cannot be read or written, the run goes
without them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import anyio

from rollout.app import parallel, person, safety_rules
from rollout.app.notices import Notices
from rollout.core.running.state import Run
from rollout.engines.service import Service
from rollout.errors import ConflictError, Problem, RolloutError
from rollout.journal.store import RunStore
from rollout.model import limits
from rollout.model.fence import LIFE_MS, TAG_KEY, Fence, read
from rollout.model.outcome import Done, Refused, RetryClass, Unknown
from rollout.model.phrase import Phrase, say
from rollout.model.plan import Plan
from rollout.model.site import Site
from rollout.model.time import format_instant

RENEW_S: Final = LIFE_MS / 3000
RETRY_S: Final = 1.0
"""First pause while a key pair is not marked yet, such as one that the run imports; it doubles."""
END_S: Final = 3.0
"""How long the end of a process waits until its marks are removed."""

Place = tuple[Site, str]
"""A key pair: its account and region, and its name."""


def places(plan: Plan) -> list[Place]:
    """Return the key pairs that a run of the plan attaches."""
    return sorted({(one.site, key.name) for key in plan.keys for one in key.regions})


async def check(plan: Plan, service: Service, store: RunStore) -> None:
    """Raise ConflictError R0620 if a run of another runs directory marked a key pair of the plan.

    Locks and leases decide about runs of `store`. A mark that cannot be read is none.
    """
    known = {run.id for run in store.runs()}
    now = service.clock.now()

    async def check_place(place: Place) -> None:
        found = await _mark(service, place)
        if found is not None and found.run not in known and found.counts(now):
            raise _conflict(place, found)

    await parallel.check_all(check_place, places(plan))


async def warn(plan: Plan, service: Service, store: RunStore, notices: Notices) -> None:
    """Warn about the marks that would end an apply of this plan now."""
    try:
        await check(plan, service, store)
    except RolloutError as error:
        for problem in error.problems:
            notices.warn(problem)


def _conflict(place: Place, found: Fence) -> ConflictError:
    site, name = place
    return ConflictError.of(
        "R0620",
        say(
            "run {run} of {by} attaches key pair {name} in {region} from another runs directory; "
            "its mark counts until {until}",
            run=found.run,
            by=found.by,
            name=name,
            region=site.region,
            until=format_instant(found.until),
        ),
        help=say(
            "wait until it has ended; or add --no-fence, if both runs may work at the same time"
        ),
    )


def marks_of(run: Run, service: Service) -> Marks | None:
    """Return the marks for a run; None for an aborted one, which attaches nothing more."""
    if run.aborted is not None:
        return None
    return Marks(service, run.run_id, run.epoch, places(run.plan))


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
    """The marks of one process that drives a run."""

    service: Service
    run: str
    epoch: int
    places: list[Place]
    _marked: set[Place] = field(default_factory=set)
    _refused: str = ""

    async def keep(self, notices: Notices) -> None:
        """Write and renew the marks until cancelled; warn and end if they are not permitted.

        A key pair that does not exist yet is tried again: the run imports it. Raises nothing.
        """
        try:
            why: str | Phrase = await self._kept()
        except Exception as error:  # noqa: BLE001 - a mark never stops a run
            why = type(error).__name__
        text = say("the key pairs of the run are not marked for other operators: {why}", why=why)
        cure = say("permit ecs:TagResources and ecs:UntagResources, or add --no-fence")
        notices.warn(Problem("R0621", text, cure=cure))

    async def _kept(self) -> str | Phrase:
        """Write and renew the marks; return why they are not permitted."""
        if rules := safety_rules.matched(("TagResources", "UntagResources")):
            return say("a rule about {rule}", rule=rules[0].text)
        pause_s = RETRY_S / 2
        while True:
            await parallel.check_all(self._write, self.places)
            if self._refused:
                return self._refused
            pause_s = RENEW_S if self._marked >= set(self.places) else min(2 * pause_s, RENEW_S)
            await anyio.sleep(pause_s)

    async def remove(self) -> None:
        """Remove those marks that are still of this run."""

        async def remove_one(place: Place) -> None:
            site, name = place
            found = await _mark(self.service, place)
            if found is not None and found.run == self.run:
                by = self.service.clock.now() + limits.CALL_TIMEOUT_MS
                await self.service.client.untag_key_pair(site.region, name, TAG_KEY, not_after=by)

        await parallel.check_all(remove_one, sorted(self._marked))

    async def _write(self, place: Place) -> None:
        """Write one mark, or keep the reason why a later try would be refused too."""
        site, name = place
        now = self.service.clock.now()
        mine = Fence(self.run, self.epoch, now + LIFE_MS, f"{person.user()}@{socket.gethostname()}")
        outcome = await self.service.client.tag_key_pair(
            site.region, name, TAG_KEY, mine.text(), not_after=now + limits.CALL_TIMEOUT_MS
        )
        if isinstance(outcome, Done):
            self._marked.add(place)
        elif isinstance(outcome, Refused) and outcome.retry not in _TEMPORARY:
            self._refused = f"{outcome.code} {outcome.message}".strip()


_TEMPORARY: Final = frozenset(
    {RetryClass.THROTTLED, RetryClass.UNSENT, RetryClass.KEY_PAIR, RetryClass.CLOCK}
)
"""Refusals after which a mark is tried again. KEY_PAIR: there is no such key pair yet."""


async def _mark(service: Service, place: Place) -> Fence | None:
    """Return the mark on a key pair; None without one, or if it cannot be read."""
    site, name = place
    tags = await service.client.key_pair_tags(site.region, name)
    return None if isinstance(tags, Refused | Unknown) else read(tags.get(TAG_KEY, ""))
