"""The receivers of a run's notifications: their cursors, secrets, and what each still lacks.

Called by `notifications`, and by `status`. Makes no requests.
"""

from __future__ import annotations

import contextlib
import os

import msgspec
from yarl import URL

from rollout import logs
from rollout.errors import RolloutError
from rollout.journal.store import StoredRun
from rollout.model.notify import NoticeReceiver, ReceiverState
from rollout.model.plan import Plan
from rollout.notify.courier import Cursor, DeliveryFailed
from rollout.notify.notices import NoticeMaker
from rollout.probes import fetch, references


class RunSurroundings:
    """Implements `courier.Surroundings` with the files of a run and this process's environment."""

    def __init__(self, stored: StoredRun) -> None:
        self._stored = stored

    def read_secret(self, reference: str) -> str:
        """See Surroundings. The value is masked in all output from now on."""
        try:
            return references.read(reference, os.environ, logs.hide)
        except references.UnreadableSecret as error:
            raise DeliveryFailed(error.text) from None

    def save(self, receiver: int, cursor: Cursor) -> None:
        """See Surroundings. Without it, messages are sent again after a restart."""
        with contextlib.suppress(RolloutError):
            self._stored.write_side(_name(receiver), msgspec.json.encode(cursor))

    def proxy(self, url: str) -> str | None:
        """See Surroundings."""
        return fetch.proxy_of(URL(url))


def cursor(stored: StoredRun, receiver: int) -> Cursor:
    """Return the cursor of a receiver; a new one if its file is missing or damaged."""
    raw = stored.read_side(_name(receiver))
    if raw is None:
        return Cursor()
    try:
        return msgspec.json.decode(raw, type=Cursor)
    except (msgspec.DecodeError, UnicodeError):
        return Cursor()


def states(stored: StoredRun, plan: Plan) -> tuple[ReceiverState, ...]:
    """Return what each receiver of a run got, and how many messages it lacks.

    Errors: as the journal's; none if the plan has no receivers.
    """
    if not plan.receivers():
        return ()
    maker = NoticeMaker(plan)
    lines = stored.read()
    made = [one for line in lines for one in maker.take(line.seq, line.at, line.body)]
    found = []
    for number, receiver in enumerate(plan.receivers()):
        at = cursor(stored, number)
        waiting = sum(one.kind in receiver.on and one.position > at.position for one in made)
        found.append(_state(receiver, at, waiting))
    return tuple(found)


def _state(receiver: NoticeReceiver, at: Cursor, waiting: int) -> ReceiverState:
    failing = (at.tries, at.failed_at, at.cause) if waiting else (0, 0, "")
    return ReceiverState(receiver.to, at.delivered, waiting, *failing)


def _name(receiver: int) -> str:
    return f"receiver-{receiver + 1}.json"
