"""Convert observations to evidence: observations in, events out.

Called by `turn` for every answered look. Decides nothing about budgets; whatever moves an
instance leaves here as an event. The rules of evidence: a status other than Running after the
intent, or a StartTime above the recorded minute, proves a boot; absence is proved only where
StartTime is known to move.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from rollout.core.invariant import invariant
from rollout.core.planning.selection import rotatable_os
from rollout.core.running import drift, external
from rollout.core.running.evolve_phases import FOREIGN_KEY, KEY_CHANGED
from rollout.core.running.journey import Phase
from rollout.core.running.state import Restarting, Run
from rollout.core.running.stations import IN_FLIGHT, Station
from rollout.core.running.waiting import Waiting
from rollout.core.running.watching import Absence, Sample
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import ObserveInstances, ObserveStatuses
from rollout.model.event import AnyEvent, DriftKind, Trigger
from rollout.model.instance import Instance, Status
from rollout.model.observation import Observed
from rollout.model.plan import RestartKind
from rollout.model.spec import OnUnknown
from rollout.model.time import Instant

_STEADY = (Status.RUNNING, Status.STOPPED)
_SIGNS = {
    RestartKind.REBOOT: (Status.PENDING, Status.STARTING, Status.STOPPING, Status.STOPPED),
    RestartKind.START: (Status.STARTING, Status.RUNNING),
}
"""Statuses after the intent that prove its restart."""
_ABSENT_READS = 2
"""Replies that list others but not an instance, before a second API is called."""
_CALIBRATIONS_MAX = 3
"""Clean reboots that moved StartTime are counted up to here; one that did not always counts."""


class Reading:
    """One observation being read: it collects moves in columns, so that it makes few events."""

    def __init__(self, waiting: Waiting, at: Instant, api_time: Instant) -> None:
        self.run = waiting.run
        self.waiting = waiting
        self.watching = waiting.watching
        self.at = at
        self.api_time = api_time
        self.moves: dict[tuple[Trigger, str], list[int]] = {}
        self.holds: dict[str, list[int]] = {}
        self.drifts: dict[tuple[DriftKind, str], list[int]] = {}
        self.calibrations: dict[tuple[str, str, str], list[int]] = {}
        self.restarts: dict[str, list[int]] = {}
        """Restarts without an intent of this run, by evidence."""
        self.before: Observed | None = None
        """What the observation before showed of the instance that is being read."""
        self.checked: list[int] = []
        self.ready: list[int] = []

    def move(self, ordinal: int, trigger: Trigger, evidence: str) -> None:
        """The instance moves on this evidence."""
        self.moves.setdefault((trigger, evidence), []).append(ordinal)

    def hold(self, ordinal: int, reason: str) -> None:
        """The instance is not changed any more."""
        self.holds.setdefault(reason, []).append(ordinal)

    def drift(self, ordinal: int, found: drift.Drift) -> None:
        """It differs from the plan; each kind is told once a process."""
        if (ordinal, found.kind) not in self.watching.drift_reported:
            self.watching.drift_reported[ordinal, found.kind] = None
            self.drifts.setdefault((found.kind, found.detail), []).append(ordinal)

    def events(self) -> Iterator[AnyEvent]:
        """All that was read, in an order in which every move is legal."""
        for (kind, detail), ordinals in self.drifts.items():
            yield ev.Drifted(kind, tuple(ordinals), detail)
        for evidence, ordinals in self.restarts.items():
            yield ev.ForeignRestart(tuple(ordinals), evidence, self.api_time)
        for (trigger, evidence), ordinals in sorted(
            self.moves.items(), key=lambda move: (_RANKS[move[0][0]], move[0][1])
        ):
            yield ev.Moved(trigger, tuple(ordinals), evidence, self.api_time)
        for family, (moved, unmoved) in self.calibrations.items():
            yield ev.Calibrated(*family, moved, unmoved)
        for reason, ordinals in self.holds.items():
            yield ev.Held(tuple(ordinals), reason)


_RANKS = {
    trigger: rank
    for rank, trigger in enumerate(
        (
            Trigger.SEEN_ATTACHED,
            Trigger.SEEN_UNATTACHED,
            Trigger.SEEN_BOOTED,
            Trigger.SEEN_RUNNING,
            Trigger.DOUBTED,
            Trigger.SEEN_SERVING,
            Trigger.SEEN_UNTOUCHED,
            Trigger.RETRIED,
            Trigger.ASSUMED,
            Trigger.TIMED_OUT,
            Trigger.LEFT_STOPPED,
            Trigger.GAVE_UP,
            Trigger.DROPPED,
        )
    )
}


def read(
    waiting: Waiting,
    look: ObserveInstances,
    shown: Sequence[Instance],
    at: Instant,
    api_time: Instant,
    now: Instant,
) -> Reading:
    """Judge every instance of the look. `at` is when it began, `now` when its answer came.

    The watching is told what to look at again; events come from `Reading.events`, and what may now
    be attached or restarted stands in `checked` and `ready` for `finish`.
    """
    reading = Reading(waiting, at, api_time)
    run, watching = waiting.run, waiting.watching
    by_id = {instance.id: instance for instance in shown}
    for ordinal, wanted_id in zip(look.ordinals, look.instances, strict=False):
        if waiting.stations.at(ordinal) not in IN_FLIGHT:
            continue  # an operator moved it on since the observation started
        instance = by_id.get(wanted_id)
        if instance is None:
            _missing(reading, ordinal, now, others=bool(by_id))
            continue
        watching.found(look.site, ordinal)
        observed = Observed(instance.status, instance.key_pair, instance.started_at, api_time)
        before = watching.last.get(ordinal)
        reading.before = before.observed if before and before.at < at else None
        watching.last[ordinal] = watching.samples[ordinal] = Sample(observed, at)
        if restarted := external.foreign_restart(run, ordinal, reading.before, instance):
            reading.restarts.setdefault(restarted, []).append(ordinal)
        if ordinal in run.foreign and instance.key_pair == reading.run.layout.wanted(ordinal).name:
            reading.hold(ordinal, FOREIGN_KEY)
        elif run.phase(ordinal) is not Phase.PLANNED and rotatable_os(instance) is not None:
            _os_changed(reading, ordinal, instance)
        else:
            _READERS[run.phase(ordinal)](reading, ordinal, instance, now)
    _note_witness(reading, look, by_id, now)
    return reading


def _note_witness(
    reading: Reading, look: ObserveInstances, shown: Container[str], now: Instant
) -> None:
    """Remember the witness of an answer that shows it, and forget one that an answer leaves out."""
    run, watching = reading.run, reading.watching
    site = look.site
    targets = run.layout.targets
    for instance in look.instances[len(look.ordinals) :]:
        known = watching.witness.get(site)
        if known is not None and targets[known].instance == instance:
            if instance not in shown:
                watching.lose_witness(site, now)
        elif instance in shown and (known is None or known in watching.absent):
            for ordinal in run.layout.site_ends[site]:
                if targets[ordinal].instance == instance:
                    watching.witness[site] = ordinal


def finish(reading: Reading, look: ObserveInstances, now: Instant) -> None:
    """After the events were put: what was read as steady goes on to its attach or restart."""
    waiting = reading.waiting
    if reading.checked:
        waiting.add_checked(look.site, reading.checked)
    for ordinal in reading.ready:
        if reading.run.phase(ordinal) is Phase.ATTACHED:
            waiting.make_ready(ordinal, now)


def _missing(reading: Reading, ordinal: int, now: Instant, *, others: bool) -> None:
    """Not in the answer: unknown, and it keeps its permit. An answer may be partial, so it is gone
    only when it was missing for a settle window and a second API does not show it either.
    """
    watching, run = reading.watching, reading.run
    absence = watching.absent.setdefault(ordinal, Absence(reading.at))
    absence.reads += others
    window_ms = run.plan.restart.settle_window_ms
    since = watching.since.setdefault(ordinal, reading.at)
    witness = watching.witness.get(run.layout.site_of(ordinal))
    witnessed = witness is not None and witness not in watching.absent
    if reading.at - since >= run.plan.restart.timeout_ms + window_ms:
        reading.hold(ordinal, "unseen")
    elif witnessed and absence.reads >= _ABSENT_READS and reading.at - absence.since >= window_ms:
        watching.confirm(ordinal)
    else:
        _wait(reading, ordinal, now)
    invariant(not run.finished(ordinal), "a finished instance is not looked at")


def confirm(
    waiting: Waiting,
    look: ObserveStatuses,
    shown: Container[str],
    api_time: Instant,
    now: Instant,
) -> Reading:
    """Judge the second opinion on missing instances: those it does not show either are gone.

    An answer without the witness says nothing, as for a caller without the right to ask.
    """
    reading = Reading(waiting, now, api_time)
    watching = waiting.watching
    witnessed = look.instances[-1] in shown
    for ordinal, instance in zip(look.ordinals, look.instances, strict=False):
        if waiting.stations.at(ordinal) is not Station.CONFIRMING:
            continue
        if witnessed and instance not in shown:
            reading.drift(ordinal, drift.Drift(DriftKind.NARROWING, "gone"))
            reading.move(ordinal, Trigger.DROPPED, "gone")
            continue
        if witnessed:
            watching.absent.pop(ordinal, None)
        watching.watch(ordinal, now)
    return reading


def _planned(reading: Reading, ordinal: int, seen: Instance, now: Instant) -> None:
    """Compare and set: only what is as the plan saw it is attached."""
    run, target = reading.run, reading.run.layout.targets[ordinal]
    found = drift.judge(
        target,
        seen,
        reading.run.layout.wanted(ordinal).name,
        own_attach=run.attach_tries[ordinal] > 0,
        at_api=reading.api_time,
    )
    if found is not None:
        reading.drift(ordinal, found)
    if found is not None and found.kind is DriftKind.CONFLICT:
        reading.hold(ordinal, FOREIGN_KEY)
    elif found is not None and found.kind is DriftKind.MATERIAL:
        reading.hold(ordinal, found.ends)
    elif found is not None and found.ends:
        reading.move(ordinal, Trigger.DROPPED, found.ends)
    elif seen.key_pair == reading.run.layout.wanted(ordinal).name:
        reading.move(ordinal, Trigger.SEEN_ATTACHED, "key_pair")
        _ready(reading, ordinal, seen, now)
    else:
        _steady(reading, ordinal, seen, now, reading.checked)


def _os_changed(reading: Reading, ordinal: int, seen: Instance) -> None:
    """Another system than the plan saw, on which the key will never be in force."""
    detail = f"OS is {seen.os.value} {seen.os_name}"
    reading.drift(ordinal, drift.Drift(DriftKind.MATERIAL, detail))
    reading.hold(ordinal, "os_changed")


def _steady(
    reading: Reading, ordinal: int, seen: Instance, now: Instant, onward: list[int]
) -> None:
    """Running or Stopped goes on; anything else is waited for, as long as a restart may take."""
    if seen.status in _STEADY:
        reading.watching.since.pop(ordinal, None)
        onward.append(ordinal)
    elif _waited_out(reading, ordinal):
        reading.hold(ordinal, "transitional")
    else:
        _wait(reading, ordinal, now)


def _ready(reading: Reading, ordinal: int, seen: Instance, now: Instant) -> None:
    """Attached: it may be restarted, unless somebody stopped it after planning.

    Such an instance is stranded once it was Stopped for a settle window: until then it may be in
    the middle of somebody's restart, or of a restart of this run that takes effect late.
    """
    planned = reading.run.layout.targets[ordinal].restart
    if seen.status is not Status.STOPPED or planned is RestartKind.START:
        _steady(reading, ordinal, seen, now, reading.ready)
        return
    since = reading.watching.since.setdefault(ordinal, reading.at)
    if reading.at - since < reading.run.plan.restart.settle_window_ms:
        reading.watching.watch(ordinal, now)
    else:
        reading.move(ordinal, Trigger.LEFT_STOPPED, "stopped_after_attach")


def _wait(reading: Reading, ordinal: int, now: Instant) -> None:
    reading.watching.since.setdefault(ordinal, reading.at)
    reading.watching.watch(ordinal, now)


def _waited_out(reading: Reading, ordinal: int) -> bool:
    since = reading.watching.since.get(ordinal, reading.at)
    return reading.at - since >= reading.run.plan.restart.timeout_ms


def _attaching(reading: Reading, ordinal: int, seen: Instance, now: Instant) -> None:
    """The read-back: only the record proves an attach."""
    run = reading.run
    record = run.attaching[ordinal]
    if seen.key_pair == reading.run.layout.wanted(ordinal).name:
        reading.move(ordinal, Trigger.SEEN_ATTACHED, "key_pair")
        _ready(reading, ordinal, seen, now)
        return
    if seen.key_pair != run.layout.targets[ordinal].former_key:
        _conflict(reading, ordinal, seen)
        return
    if reading.at < record.left_by + run.plan.restart.settle_window_ms:
        reading.watching.watch(ordinal, now)  # the look may lag, or the call still arrive
    elif run.attach_tries[ordinal] < limits.ATTEMPTS_MAX:
        reading.move(ordinal, Trigger.SEEN_UNATTACHED, "key_pair")
    else:
        reading.move(ordinal, Trigger.GAVE_UP, "not_attached")


def _attached(reading: Reading, ordinal: int, seen: Instance, now: Instant) -> None:
    """A new observation before the restart, or another operator's boot after the attach."""
    run = reading.run
    attached_at = run.attached_at.get(ordinal, 0)
    window_ms = run.plan.restart.settle_window_ms  # StartTime is stamped later than a boot begins
    if seen.key_pair != reading.run.layout.wanted(ordinal).name:
        _foreign(reading, ordinal, seen, now)
    elif seen.locks:
        reading.hold(ordinal, "locked")
    elif ordinal in run.comparisons.doubted:
        reading.hold(ordinal, KEY_CHANGED)  # a restart would put other material in force
    elif (record := run.restarting.get(ordinal)) and _start_moved(record, seen):
        reading.move(ordinal, Trigger.SEEN_BOOTED, "start_time")  # the former one shows late
        _settling(reading, ordinal, seen, now)
    elif seen.status is Status.RUNNING and 0 < attached_at < seen.started_at - window_ms:
        reading.move(ordinal, Trigger.SEEN_BOOTED, "foreign_restart")
        reading.move(ordinal, Trigger.SEEN_RUNNING, "status")
    elif _spent(run, ordinal):
        reading.hold(ordinal, "attempts")
    else:
        _ready(reading, ordinal, seen, now)


def _restarting(reading: Reading, ordinal: int, seen: Instance, now: Instant) -> None:
    """Did the restart happen? Evidence ends the question; until then it is only looked at."""
    record = reading.run.restarting[ordinal]
    if seen.key_pair != reading.run.layout.wanted(ordinal).name:
        _foreign(reading, ordinal, seen, now)
        return
    reading.watching.since.pop(ordinal, None)
    evidence = _boot_evidence(record, seen)
    if evidence:
        reading.move(ordinal, Trigger.SEEN_BOOTED, evidence)
        _settling(reading, ordinal, seen, now)
    elif reading.at < reading.run.settle_end(ordinal):
        reading.watching.watch(ordinal, now)
    else:
        if reading.run.phase(ordinal) is Phase.RESTARTING:
            reading.move(ordinal, Trigger.DOUBTED, "settle_window")
        _judge_doubt(reading, ordinal, record, seen)


def _boot_evidence(record: Restarting, seen: Instance) -> str:
    """What proves that the restart happened; empty where nothing does, or the look is older than
    the one before the restart, by its StartTime.
    """
    if 0 < seen.started_at < record.base.started_at:
        return ""
    if seen.status in _SIGNS[record.kind]:
        return "status"
    if _start_moved(record, seen):
        return "start_time"  # also of what others have stopped again since
    return ""


def _start_moved(record: Restarting, seen: Instance) -> bool:
    """It started after the look that its restart was judged on."""
    return 0 < record.base.started_at < seen.started_at


def _judge_doubt(reading: Reading, ordinal: int, record: Restarting, seen: Instance) -> None:
    """The settle window is over and nothing shows that it happened: did it provably not?"""
    run = reading.run
    if ordinal in run.abandoned:
        _given_up(reading, ordinal, seen)
        return
    spent = _spent(run, ordinal)
    if _untouched(run, ordinal, record, seen):
        reading.move(ordinal, Trigger.SEEN_UNTOUCHED, "settle_window")
        if spent:
            reading.hold(ordinal, "attempts")
        return
    policy = run.plan.on_unknown
    again = seen.status in _STEADY and not run.retried[ordinal] and not spent
    again = again and not record.answered and run.aborted is None
    if policy is OnUnknown.RETRY_ONCE and again:
        reading.move(ordinal, Trigger.RETRIED, "settle_window")
    elif policy is OnUnknown.ASSUME_DONE:
        reading.move(ordinal, Trigger.ASSUMED, "settle_window")
    else:
        reading.hold(ordinal, "unproven")


def _given_up(reading: Reading, ordinal: int, seen: Instance) -> None:
    """An operator gave it up. Running after its settle window it is not down because of us, since
    its restart can no longer come: its permit comes back.
    """
    if seen.status is Status.RUNNING and reading.run.ledger.permits[ordinal]:
        reading.move(ordinal, Trigger.SEEN_SERVING, "status")
    reading.hold(ordinal, "abandoned")


def _spent(run: Run, ordinal: int) -> bool:
    """The instance has used all restart attempts, over all processes of the run."""
    return run.restart_tries[ordinal] >= limits.ATTEMPTS_MAX


def _untouched(run: Run, ordinal: int, record: Restarting, seen: Instance) -> bool:
    """Whether the restart provably did not happen. One that the service accepted may only be late:
    it is never repeated.
    """
    if record.answered:
        return False
    if record.kind is RestartKind.START:
        return seen.status is Status.STOPPED
    still = seen.status is Status.RUNNING and seen.started_at == record.base.started_at
    return still and seen.started_at > 0 and run.trusted(run.family(ordinal))


def _settling(reading: Reading, ordinal: int, seen: Instance, now: Instant) -> None:
    """Booted after the attach: done once it is Running, failed when it is not in time."""
    record = reading.run.restarting.get(ordinal)
    if record is None:
        _settling_unasked(reading, ordinal, seen, now)
    elif seen.status is not Status.RUNNING:
        reading.watching.since[ordinal] = reading.at
        if reading.at >= record.begun + reading.run.plan.restart.timeout_ms:
            reading.move(ordinal, Trigger.TIMED_OUT, "not_running")
        else:
            reading.watching.watch(ordinal, now)
    elif reading.at < (due := _own_boot_from(reading.run, ordinal, record)):
        reading.watching.watch_from(ordinal, due)
    elif _runs_again(reading, ordinal, record, seen):
        _running(reading, ordinal, record, seen)
    else:
        reading.watching.watch(ordinal, now)


def _own_boot_from(run: Run, ordinal: int, record: Restarting) -> Instant:
    """From here on a look that shows Running cannot be followed by the boot of our own reboot.

    Another hand's boot may have come before ours and look like it. Ours has begun once it was
    answered, and shows soon; one whose answer was lost may begin until its settle window ends.
    """
    if record.answered or record.kind is RestartKind.START:
        return record.begun + run.status_lag_ms
    return run.settle_end(ordinal)


def _runs_again(reading: Reading, ordinal: int, record: Restarting, seen: Instance) -> bool:
    """Whether this Running is of the boot after the restart, not a look that lags behind it.

    A row with a later StartTime is of that boot. Where StartTime has not moved, only a look that
    began a settle window after it was seen not to run can no longer show how it ran before.
    """
    if _start_moved(record, seen):
        return True
    since = reading.watching.since.setdefault(ordinal, reading.at)
    return reading.at >= since + reading.run.plan.restart.settle_window_ms


def _settling_unasked(reading: Reading, ordinal: int, seen: Instance, now: Instant) -> None:
    """Another operator booted it, and this process stopped before it was observed Running."""
    if seen.status is Status.RUNNING:
        reading.move(ordinal, Trigger.SEEN_RUNNING, "status")
    elif _waited_out(reading, ordinal):
        reading.move(ordinal, Trigger.TIMED_OUT, "not_running")
    else:
        _wait(reading, ordinal, now)


def _running(reading: Reading, ordinal: int, record: Restarting, seen: Instance) -> None:
    reading.move(ordinal, Trigger.SEEN_RUNNING, "status")
    clean = record.answered and reading.run.restart_tries[ordinal] == 1
    if record.kind is RestartKind.START or not clean or not record.base.started_at:
        return
    moved = seen.started_at > record.base.started_at
    family = reading.run.family(ordinal)
    if not moved or reading.run.trust.get(family, [0])[0] < _CALIBRATIONS_MAX:
        counts = reading.calibrations.setdefault(family, [0, 0])
        counts[0 if moved else 1] += 1


def _foreign(reading: Reading, ordinal: int, seen: Instance, now: Instant) -> None:
    """Not the wanted key although it was seen before: a look that lags, or a conflict.

    The former key may be shown by a replica behind the others, for less than the settle window.
    """
    run = reading.run
    since = reading.watching.since.get(ordinal, reading.at)
    lags = reading.at - since < run.plan.restart.settle_window_ms
    if lags and seen.key_pair == run.layout.targets[ordinal].former_key:
        _wait(reading, ordinal, now)
    else:
        _conflict(reading, ordinal, seen)


def _conflict(reading: Reading, ordinal: int, seen: Instance) -> None:
    detail = f"key pair is `{seen.key_pair or 'none'}`"
    reading.drift(ordinal, drift.Drift(DriftKind.CONFLICT, detail))
    reading.hold(ordinal, FOREIGN_KEY)


_READERS: dict[Phase, Callable[[Reading, int, Instance, Instant], None]] = {
    Phase.PLANNED: _planned,
    Phase.ATTACHING: _attaching,
    Phase.ATTACHED: _attached,
    Phase.RESTARTING: _restarting,
    Phase.IN_DOUBT: _restarting,
    Phase.SETTLING: _settling,
}
