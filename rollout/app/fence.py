"""Refuse to start a run whose key pairs a run of another runs directory marked.

Called by `plan` and `execute`. Locks and leases protect one runs directory; the marks are tags of
the key pairs, for operators with other runs directories. They are written in `marks`.
"""

from __future__ import annotations

from rollout.app import marks, parallel
from rollout.app.marks import MarkedKeyPair
from rollout.app.notices import Notices
from rollout.engines.service import Service
from rollout.errors import ConflictError, RolloutError
from rollout.journal.store import RunStore
from rollout.model.fence import Fence
from rollout.model.phrase import say
from rollout.model.plan import Plan


async def check(plan: Plan, service: Service, store: RunStore) -> None:
    """Raise ConflictError R0620 if a run of another runs directory marked a key pair of the plan.

    Locks and leases decide about runs of `store`. A mark that cannot be read is none.
    """
    now = service.clock.now()

    async def check_one(marked: MarkedKeyPair) -> None:
        found = await marks.read_from(service, marked)
        if found is not None and found.counts(now) and marks.is_foreign(found, store):
            raise _conflict(marked, found)

    await parallel.check_all(check_one, marks.key_pairs(plan))


async def warn(plan: Plan, service: Service, store: RunStore, notices: Notices) -> None:
    """Warn about the marks that would end an apply of this plan now."""
    try:
        await check(plan, service, store)
    except RolloutError as error:
        for problem in error.problems:
            notices.warn(problem)


def _conflict(marked: MarkedKeyPair, found: Fence) -> ConflictError:
    return ConflictError.of(
        "R0620",
        marks.described(marked, found),
        help=say(
            "wait until it has ended; or add --no-fence, if both runs may work at the same time"
        ),
    )
