"""The instances of the emulated cloud in dense columns: their state, and how a boot changes it.

Called by the actions, always with `now`. Each instance has two states: the record (the key pair
that the service names) and the guest (the key that the last boot installed). A pending boot is
settled before the instance is read or changed. This module does not know the API.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

import msgspec

from rollout.emulator.cloud import columns, keypairs
from rollout.emulator.cloud.ids import IdScheme
from rollout.emulator.cloud.lifecycle import (
    KEYS_UNCHANGED,
    BaseStatus,
    OperationLock,
    Transition,
    TransitionKind,
)
from rollout.emulator.cloud.shapes import Shape, Shapes, TagSets
from rollout.emulator.cloud.texts import Texts

_RELEASED: Final = int(BaseStatus.RELEASED)  # compared for each id of a call: an enum is slower

_FIRST_LOOPBACK: Final = 256
"""127.0.0.0/24 stays free for services of this machine."""


def loopback_address(ordinal: int) -> str:
    """Return the loopback address of an instance."""
    number = ordinal + _FIRST_LOOPBACK
    return f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def ordinal_at(address: str) -> int | None:
    """Return the ordinal of a loopback address; None for one that belongs to no instance."""
    number = int.from_bytes(bytes(int(part) for part in address.split(".")[1:]), "big")
    return number - _FIRST_LOOPBACK if number >= _FIRST_LOOPBACK else None


View = tuple[int, int, int]
"""Status, number of the recorded key pair and StartTime (ms) at one instant."""


class Instances:
    """Columns by ordinal. The instances of one region are neighbours: see `spans`.

    Cost: about 35 bytes per instance, without shapes, tags, ids, names and transitions.
    """

    def __init__(self) -> None:
        self.ids: IdScheme
        self.spans: dict[str, range] = {}
        self.shapes = Shapes()
        self.tag_sets = TagSets()
        self._names = Texts()
        """Names from a fleet file, up to the last named instance; empty where there is none."""

        self.region = bytearray()
        self.shape = array("I")
        self.tags = array("I")
        self.lock = bytearray()
        self.created_minute = array("I")
        self.base = bytearray()
        self.record = array("I")
        self.guest = array("I")
        self.start_ms = array("q")
        self.boots = array("H")
        self.moves: dict[int, Transition] = {}
        self.busy_until: dict[int, int] = {}
        """Instances with an operation of the service in progress: they refuse any other."""

        self.uncharged: set[int] = set()
        """Instances stopped with `StopCharging`, until they are started again."""

        self.rendered: dict[int, msgspec.Raw] = {}
        """Rendered rows of instances without a transition. Every write into a column removes the
        row: see `_forget`."""

        self.booted: Callable[[int, int], None] | None = None
        """Called for each settled boot with the ordinal and the instant of Running."""

        self.loopback = False
        """Whether the private addresses are loopback addresses of this machine."""
        self.released = 0
        self.start_moves_on_reboot = True
        self.stale_ms = 0
        """How long a view has the status from before a transition."""
        self.keep_ms = 0
        """How long former values are stored for reads with a lag; 0 = not at all."""
        self._former_keys: dict[int, tuple[int, ...]] = {}
        self._late: dict[int, tuple[int, tuple[int, ...]]] = {}
        """Guests that accept these keys until an instant, and the installed ones later."""
        self.host_keys: dict[int, int] = {}
        """How many host keys a guest had before its present one; 0 where there is no entry."""
        self._past: dict[int, list[_Past]] = {}

    def __len__(self) -> int:
        return len(self.base)

    def append(
        self,
        *,
        region: int,
        shape: int,
        tags: int,
        status: int,
        record: int,
        guest: int,
        lock: int,
        start_ms: int,
        created_minute: int,
        boots: int = 1,
    ) -> None:
        """Add one instance at the end; the builder sets `spans` and `ids` afterwards."""
        self.region.append(region)
        self.shape.append(shape)
        self.tags.append(tags)
        self.lock.append(lock)
        self.created_minute.append(created_minute)
        self.base.append(status)
        self.record.append(record)
        self.guest.append(guest)
        self.start_ms.append(start_ms)
        self.boots.append(boots)

    def find(self, instance: str, region: str | None = None) -> int | None:
        """Return the ordinal of an id, if it exists (in `region`, where one is given)."""
        ordinal = self.ids.ordinal_of(instance)
        if ordinal is None or self.base[ordinal] == BaseStatus.RELEASED:
            return None
        if region is not None and ordinal not in self.spans.get(region, ()):
            return None
        return ordinal

    def find_all(self, instances: Iterable[str], region: str) -> list[int | None]:
        """Return the ordinals of many ids in one region, None for those that do not exist there."""
        span, base = self.spans.get(region, range(0)), self.base
        found = list(map(self.ids.ordinal_of, instances))
        if not self.released and _all_within(span, found):
            return found
        return [o if o is not None and o in span and base[o] != _RELEASED else None for o in found]

    def shape_of(self, ordinal: int) -> Shape:
        """Return the shape of an instance."""
        return self.shapes.values[self.shape[ordinal]]

    def set_name(self, ordinal: int, name: str) -> None:
        """Name an instance after all named ones; other names are computed from the ordinal."""
        for _ in range(len(self._names), ordinal):
            self._names.append("")
        self._names.append(name)

    def name_of(self, ordinal: int) -> str:
        """Return InstanceName, which is also the host name of the guest."""
        return self.own_name(ordinal) or f"ecs-{ordinal:07d}"

    def own_name(self, ordinal: int) -> str:
        """Return the name from a fleet file; empty if it gave none."""
        return self._names[ordinal] if ordinal < len(self._names) else ""

    def locks_of(self, ordinal: int) -> list[str]:
        """Return the lock reasons in documented order."""
        lock = self.lock[ordinal]
        return [str(flag.name).lower() for flag in OperationLock if lock & flag]

    def address_of(self, ordinal: int) -> str:
        """Return the private address: 10.0.0.0/8 has sixteen million. With `loopback` it is one of
        this machine, on which the SSH guests listen.
        """
        if self.loopback:
            return loopback_address(ordinal)
        return f"10.{ordinal >> 16 & 255}.{ordinal >> 8 & 255}.{ordinal & 255}"

    def status(self, ordinal: int, now: int) -> int:
        """Return the true status at `now`, after settling a boot that is due."""
        if ordinal in self.moves:
            self.advance(ordinal, now)
            if transition := self.moves.get(ordinal):
                return transition.status_at(now)
        return self.base[ordinal]

    def view(self, ordinal: int, now: int, lag_ms: int = 0) -> View:
        """Return what a Describe at `now` returns; with a lag, the state of that long ago."""
        if lag_ms and ordinal in self._past:
            return self._view_of_past(ordinal, now - lag_ms)
        transition = self.moves.get(ordinal)
        if transition is not None and now >= transition.until:
            self.advance(ordinal, now)
            transition = None
        if transition is None or now < transition.begin + self.stale_ms:
            return self.base[ordinal], self.record[ordinal], self.start_ms[ordinal]
        return transition.status_at(now), self.record[ordinal], self.start_ms[ordinal]

    def views(self, ordinals: Iterable[int], now: int, lag_ms: int = 0) -> list[View]:
        """Return the views of many instances; those without a transition cost no call."""
        base, record, start_ms, moves = self.base, self.record, self.start_ms, self.moves
        return [
            self.view(o, now, lag_ms) if lag_ms or o in moves else (base[o], record[o], start_ms[o])
            for o in ordinals
        ]

    def statuses(self, ordinals: Iterable[int], now: int, lag_ms: int = 0) -> list[int]:
        """Return the statuses in the views of many instances."""
        base, moves = self.base, self.moves
        return [self.view(o, now, lag_ms)[0] if lag_ms or o in moves else base[o] for o in ordinals]

    def all_idle(self, ordinals: Sequence[int]) -> bool:
        """Return whether each is Running, without lock and transition, as in most calls."""
        read = columns.reader(ordinals)
        return not (
            any(read(self.base))  # Running is 0
            or any(read(self.lock))
            or not self.moves.keys().isdisjoint(ordinals)
            or not self.busy_until.keys().isdisjoint(ordinals)
        )

    def is_busy(self, ordinal: int, now: int) -> bool:
        """Return whether an operation of the service is in progress. No view shows it."""
        return now < self.busy_until.get(ordinal, 0)

    def attach(self, ordinals: Sequence[int], key: int, now: int) -> list[int]:
        """Write the records and return the former ones. The guests change at their next boots."""
        if self.keep_ms or not self.moves.keys().isdisjoint(ordinals):
            for ordinal in ordinals:
                self.advance(ordinal, now)
                self._remember(ordinal, now)
        record = self.record
        formers = list(columns.reader(ordinals)(record))
        forget = self.rendered.pop
        for ordinal in ordinals:
            record[ordinal] = key
            forget(ordinal, None)
        return formers

    def stopped_mode(self, ordinal: int, status: int) -> str:
        """Return StoppedMode as the Describe actions return it."""
        if status != BaseStatus.STOPPED:
            return "Not-applicable"
        return "StopCharging" if ordinal in self.uncharged else "KeepCharging"

    def transition(self, ordinal: int, transition: Transition) -> None:
        """Begin a transition."""
        if transition.kind is not TransitionKind.STOP:
            self.uncharged.discard(ordinal)
        self._remember(ordinal, transition.begin)
        self._forget(ordinal)
        self.moves[ordinal] = transition

    def advance(self, ordinal: int, now: int) -> None:
        """Settle a transition that has ended by `now`."""
        transition = self.moves.get(ordinal)
        if transition is None or now < transition.until:
            return
        self._remember(ordinal, transition.until)
        del self.moves[ordinal]
        if transition.kind in {TransitionKind.STOP, TransitionKind.REBOOT_ENDS_STOPPED}:
            self.base[ordinal] = BaseStatus.STOPPED
            return
        self.base[ordinal] = BaseStatus.RUNNING
        self.boots[ordinal] += 1
        self._install(ordinal, transition)
        if transition.kind is TransitionKind.START or self.start_moves_on_reboot:
            self.start_ms[ordinal] = transition.begin + transition.stopping_ms
        if self.booted is not None:
            self.booted(ordinal, transition.until)

    def put(self, ordinal: int, status: BaseStatus, now: int) -> None:
        """External change: put the instance into a status, which ends any transition."""
        self.advance(ordinal, now)
        self._remember(ordinal, now)
        self._forget(ordinal)
        self.moves.pop(ordinal, None)
        if status is BaseStatus.RELEASED and self.base[ordinal] != BaseStatus.RELEASED:
            self.released += 1
        self.base[ordinal] = status

    def set_lock(self, ordinal: int, lock: OperationLock) -> None:
        """External change: lock the instance, or remove its locks."""
        self._forget(ordinal)
        self.lock[ordinal] = lock

    def set_shape(self, ordinal: int, shape: int) -> None:
        """External change: give the instance another shape, such as another image."""
        self._forget(ordinal)
        self.shape[ordinal] = shape

    def set_clock(self, by_ms: int) -> None:
        """Move the clock by `by_ms`; transitions in progress still take as long."""
        for ordinal, transition in self.moves.items():
            begin, until = transition.begin + by_ms, transition.until + by_ms
            self.moves[ordinal] = msgspec.structs.replace(transition, begin=begin, until=until)
        self._past.clear()

    def keys_in_force(self, ordinal: int, now: int) -> tuple[int, ...]:
        """Return the key pairs the guest accepts, newest first; none: password login is on."""
        self.advance(ordinal, now)
        until, keys = self._late.get(ordinal, (0, ()))
        if now < until:
            return keys
        guest = self.guest[ordinal]
        return (guest, *self._former_keys.get(ordinal, ())) if guest else ()

    def _install(self, ordinal: int, transition: Transition) -> None:
        """Write authorized_keys as the boot does, or append to it."""
        if transition.new_host_key:
            self.host_keys[ordinal] = self.host_keys.get(ordinal, 0) + 1
        former, fresh = self.guest[ordinal], transition.key
        if transition.late_ms:
            former_keys = (former, *self._former_keys.get(ordinal, ())) if former else ()
            self._late[ordinal] = (transition.until + transition.late_ms, former_keys)
        else:
            self._late.pop(ordinal, None)
        if fresh == KEYS_UNCHANGED or self.shape_of(ordinal).windows:
            return
        if not transition.appends:
            self._former_keys.pop(ordinal, None)
        elif former not in {keypairs.NONE, fresh}:
            self._former_keys[ordinal] = (former, *self._former_keys.get(ordinal, ()))
        self.guest[ordinal] = fresh

    def _forget(self, ordinal: int) -> None:
        self.rendered.pop(ordinal, None)

    def _remember(self, ordinal: int, at: int) -> None:
        """Store the state up to `at`, and drop states that no lagging read can need any more."""
        if not self.keep_ms:
            return
        past = [p for p in self._past.get(ordinal, ()) if p.until >= at - self.keep_ms]
        now = _Past(
            at,
            self.base[ordinal],
            self.record[ordinal],
            self.start_ms[ordinal],
            self.moves.get(ordinal),
        )
        self._past[ordinal] = [*past, now]

    def _view_of_past(self, ordinal: int, then: int) -> View:
        for past in self._past[ordinal]:
            if then < past.until:
                status = past.transition.status_at(then) if past.transition else past.base
                return status, past.record, past.start_ms
        return self.view(ordinal, then)


def _all_within(span: range, found: Sequence[int | None]) -> bool:
    """Return whether all ordinals are in `span`; checks only the smallest and the largest."""
    known = [] if None in found else cast("Sequence[int]", found)
    return bool(known) and min(known) >= span.start and max(known) < span.stop


class _Past(msgspec.Struct, frozen=True, gc=False):
    """The state of an instance up to `until`."""

    until: int
    base: int
    record: int
    start_ms: int
    transition: Transition | None
