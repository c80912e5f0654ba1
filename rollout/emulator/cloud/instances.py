"""The instances of the emulated cloud in dense columns: their state, and how a boot changes it.

Called by the actions, always with `now`. Two states each: the record (which key pair the service
names) and the guest (whose key the last boot installed). An instance is advanced when touched:
a pending boot is settled before anything is read or overwritten. Knows no API.
"""

import enum
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

import msgspec

from rollout.emulator.cloud import columns, keypairs
from rollout.emulator.cloud.ids import IdScheme
from rollout.emulator.cloud.shapes import Shape, Shapes, TagSets
from rollout.emulator.cloud.texts import Texts

MINUTE_MS: Final = 60_000


class BaseStatus(enum.IntEnum):
    """Base states. RELEASED instances are absent from every answer."""

    RUNNING = 0
    STOPPED = 1
    STARTING = 2
    STOPPING = 3
    PENDING = 4
    RELEASED = 5


_RELEASED: Final = int(BaseStatus.RELEASED)  # compared for each id of a call: an enum is slower

STATUS_NAMES: Final = ("Running", "Stopped", "Starting", "Stopping", "Pending", "Released")


class OperationLock(enum.IntFlag):
    """OperationLocks of an instance; the lower-case name is the reason as the API writes it."""

    NONE = 0
    FINANCIAL = 1
    SECURITY = 2
    RECYCLING = 4
    DEDICATEDHOSTFINANCIAL = 8
    REFUNDED = 16


class Motion(enum.Enum):
    """What an instance is in the middle of, and how that ends."""

    REBOOT = "reboot"
    START = "start"
    STOP = "stop"
    REBOOT_ENDS_STOPPED = "reboot ends stopped"


LEFT: Final = -1
"""In the place of a key pair: the boot leaves authorized_keys as it is."""


class Move(msgspec.Struct, frozen=True, gc=False):
    """A motion under way: Stopping for `stopping_ms` from `begin`, then Starting until `until`.

    `key` is the key pair that the boot installs: the one recorded when the motion began, or `LEFT`.
    With `appends` the boot leaves the former keys in place beside it.
    """

    motion: Motion
    begin: int
    until: int
    stopping_ms: int
    key: int = keypairs.NONE
    appends: bool = False

    def status_at(self, now: int) -> BaseStatus:
        """Status in the middle of it."""
        if self.motion is Motion.STOP or now < self.begin + self.stopping_ms:
            return BaseStatus.STOPPING
        return BaseStatus.STARTING


View = tuple[int, int, int]
"""Status, number of the recorded key pair and StartTime (ms) at one instant."""


class Instances:
    """Columns by ordinal. The instances of one region are neighbours: see `spans`.

    Cost: about 35 bytes an instance, apart from shapes, tags, ids and names, and from what moves.
    """

    def __init__(self) -> None:
        self.ids: IdScheme
        self.spans: dict[str, range] = {}
        self.shapes = Shapes()
        self.tag_sets = TagSets()
        self._names = Texts()
        """Up to the last instance that a fleet file names; empty where it does not."""

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
        self.moves: dict[int, Move] = {}
        self.busy_until: dict[int, int] = {}
        """Those that an operation of the service itself keeps busy: they refuse any other."""

        self.uncharged: set[int] = set()
        """Those that were stopped with `StopCharging`, until they are started again."""

        self.rendered: dict[int, msgspec.Raw] = {}
        """What `rows` has shown of instances in the middle of nothing. Whatever writes into one of
        the columns takes it out: see `_forget`."""

        self.booted: Callable[[int, int], None] | None = None
        """Told of each boot when it is settled: ordinal, and the instant of Running again."""

        self.released = 0
        self.start_moves_on_reboot = True
        self.stale_ms = 0
        """How long a view shows the status from before a motion."""
        self.keep_ms = 0
        """How long former values are kept for reads with a lag; 0 = not at all."""
        self._former_keys: dict[int, tuple[int, ...]] = {}
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
        """The ordinal of an id, if it exists (in `region`, where one is given)."""
        ordinal = self.ids.ordinal_of(instance)
        if ordinal is None or self.base[ordinal] == BaseStatus.RELEASED:
            return None
        if region is not None and ordinal not in self.spans.get(region, ()):
            return None
        return ordinal

    def find_all(self, instances: Iterable[str], region: str) -> list[int | None]:
        """The ordinals of many ids in one region, None for those that do not exist there."""
        span, base = self.spans.get(region, range(0)), self.base
        found = list(map(self.ids.ordinal_of, instances))
        if not self.released and _all_within(span, found):
            return found
        return [o if o is not None and o in span and base[o] != _RELEASED else None for o in found]

    def shape_of(self, ordinal: int) -> Shape:
        """What the instance is."""
        return self.shapes.values[self.shape[ordinal]]

    def set_name(self, ordinal: int, name: str) -> None:
        """Name an instance behind all that have a name; others have one made from the ordinal."""
        for _ in range(len(self._names), ordinal):
            self._names.append("")
        self._names.append(name)

    def name_of(self, ordinal: int) -> str:
        """InstanceName, which is the name of the guest too."""
        return self.own_name(ordinal) or f"ecs-{ordinal:07d}"

    def own_name(self, ordinal: int) -> str:
        """The name that a fleet file gave, empty where it gave none."""
        return self._names[ordinal] if ordinal < len(self._names) else ""

    def locks_of(self, ordinal: int) -> list[str]:
        """Lock reasons in documented order."""
        lock = self.lock[ordinal]
        return [str(flag.name).lower() for flag in OperationLock if lock & flag]

    def address_of(self, ordinal: int) -> str:
        """Private address: 10.0.0.0/8 holds sixteen million."""
        return f"10.{ordinal >> 16 & 255}.{ordinal >> 8 & 255}.{ordinal & 255}"

    def status(self, ordinal: int, now: int) -> int:
        """The true status at `now`, after settling what is due."""
        if ordinal in self.moves:
            self.advance(ordinal, now)
            if move := self.moves.get(ordinal):
                return move.status_at(now)
        return self.base[ordinal]

    def view(self, ordinal: int, now: int, lag_ms: int = 0) -> View:
        """What a Describe at `now` shows; with a lag, what was so that long ago."""
        if lag_ms and ordinal in self._past:
            return self._view_of_past(ordinal, now - lag_ms)
        move = self.moves.get(ordinal)
        if move is not None and now >= move.until:
            self.advance(ordinal, now)
            move = None
        if move is None or now < move.begin + self.stale_ms:
            return self.base[ordinal], self.record[ordinal], self.start_ms[ordinal]
        return move.status_at(now), self.record[ordinal], self.start_ms[ordinal]

    def views(self, ordinals: Iterable[int], now: int, lag_ms: int = 0) -> list[View]:
        """The views of many; those that are not in the middle of anything cost no call."""
        base, record, start_ms, moves = self.base, self.record, self.start_ms, self.moves
        return [
            self.view(o, now, lag_ms) if lag_ms or o in moves else (base[o], record[o], start_ms[o])
            for o in ordinals
        ]

    def statuses(self, ordinals: Iterable[int], now: int, lag_ms: int = 0) -> list[int]:
        """The statuses in the views of many."""
        base, moves = self.base, self.moves
        return [self.view(o, now, lag_ms)[0] if lag_ms or o in moves else base[o] for o in ordinals]

    def all_idle(self, ordinals: Sequence[int]) -> bool:
        """Whether each runs, without a lock and in the middle of nothing: most calls meet these."""
        read = columns.reader(ordinals)
        return not (
            any(read(self.base))  # Running is 0
            or any(read(self.lock))
            or not self.moves.keys().isdisjoint(ordinals)
            or not self.busy_until.keys().isdisjoint(ordinals)
        )

    def is_busy(self, ordinal: int, now: int) -> bool:
        """Whether an operation of the service keeps it busy, which no view shows."""
        return now < self.busy_until.get(ordinal, 0)

    def attach(self, ordinals: Sequence[int], key: int, now: int) -> list[int]:
        """Write the records; returns the former ones. The guests change at their next boots."""
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
        """StoppedMode, as the Describe actions show it."""
        if status != BaseStatus.STOPPED:
            return "Not-applicable"
        return "StopCharging" if ordinal in self.uncharged else "KeepCharging"

    def move(self, ordinal: int, move: Move) -> None:
        """Begin a motion."""
        if move.motion is not Motion.STOP:
            self.uncharged.discard(ordinal)
        self._remember(ordinal, move.begin)
        self._forget(ordinal)
        self.moves[ordinal] = move

    def advance(self, ordinal: int, now: int) -> None:
        """Settle a motion that has ended by `now`."""
        move = self.moves.get(ordinal)
        if move is None or now < move.until:
            return
        self._remember(ordinal, move.until)
        del self.moves[ordinal]
        if move.motion in {Motion.STOP, Motion.REBOOT_ENDS_STOPPED}:
            self.base[ordinal] = BaseStatus.STOPPED
            return
        self.base[ordinal] = BaseStatus.RUNNING
        self.boots[ordinal] += 1
        self._install(ordinal, move)
        if move.motion is Motion.START or self.start_moves_on_reboot:
            self.start_ms[ordinal] = move.begin + move.stopping_ms
        if self.booted is not None:
            self.booted(ordinal, move.until)

    def put(self, ordinal: int, status: BaseStatus, now: int) -> None:
        """Another hand: put the instance into a status, ending any motion."""
        self.advance(ordinal, now)
        self._remember(ordinal, now)
        self._forget(ordinal)
        self.moves.pop(ordinal, None)
        if status is BaseStatus.RELEASED and self.base[ordinal] != BaseStatus.RELEASED:
            self.released += 1
        self.base[ordinal] = status

    def set_lock(self, ordinal: int, lock: OperationLock) -> None:
        """Another hand: lock the instance, or take its locks off."""
        self._forget(ordinal)
        self.lock[ordinal] = lock

    def set_shape(self, ordinal: int, shape: int) -> None:
        """Another hand: make another kind of machine of it, with another image for instance."""
        self._forget(ordinal)
        self.shape[ordinal] = shape

    def set_clock(self, by_ms: int) -> None:
        """The clock was set: what is under way takes as long as it would have taken."""
        for ordinal, move in self.moves.items():
            begin, until = move.begin + by_ms, move.until + by_ms
            self.moves[ordinal] = msgspec.structs.replace(move, begin=begin, until=until)
        self._past.clear()

    def keys_in_force(self, ordinal: int, now: int) -> tuple[int, ...]:
        """Key pairs the guest accepts, the newest first; none: password login is on."""
        self.advance(ordinal, now)
        guest = self.guest[ordinal]
        return (guest, *self._former_keys.get(ordinal, ())) if guest else ()

    def _install(self, ordinal: int, move: Move) -> None:
        """The boot writes authorized_keys, or appends to it."""
        former, fresh = self.guest[ordinal], move.key
        if fresh == LEFT or self.shape_of(ordinal).windows:
            return
        if not move.appends:
            self._former_keys.pop(ordinal, None)
        elif former not in {keypairs.NONE, fresh}:
            self._former_keys[ordinal] = (former, *self._former_keys.get(ordinal, ()))
        self.guest[ordinal] = fresh

    def _forget(self, ordinal: int) -> None:
        self.rendered.pop(ordinal, None)

    def _remember(self, ordinal: int, at: int) -> None:
        """Keep what was true up to `at`, and forget what no lagging read can ask for any more."""
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
                status = past.move.status_at(then) if past.move else past.base
                return status, past.record, past.start_ms
        return self.view(ordinal, then)


def _all_within(span: range, found: Sequence[int | None]) -> bool:
    """Whether all were found in `span`; the ends of them tell it faster than each one does."""
    known = [] if None in found else cast("Sequence[int]", found)
    return bool(known) and min(known) >= span.start and max(known) < span.stop


class _Past(msgspec.Struct, frozen=True, gc=False):
    """What was true of an instance up to `until`."""

    until: int
    base: int
    record: int
    start_ms: int
    move: Move | None
