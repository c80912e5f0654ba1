"""Due observations and waiting queues. Never journaled: rebuilt from the state on resume.

The state (`run`) says what is; the agenda says what is due, what was just seen, and what waits
for which group. `turn` tells it of every event and look; `fleet` and `cell` read it.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from rollout.core.running.evolve import OBSERVED
from rollout.core.running.evolve_calls import NO_ATTEMPT, is_busy, is_fact
from rollout.core.running.journey import Phase
from rollout.core.running.key_comparisons import KeyWatch
from rollout.core.running.retry import backoff_ms, busy_pause_ms
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import Attach, ImportKey, ObserveInstances, ObserveStatuses, RestartCall
from rollout.model.event import AnyEvent, DriftKind, Trigger
from rollout.model.instance import Status
from rollout.model.observation import Observed
from rollout.model.outcome import Outcome, Refused
from rollout.model.plan import RestartKind
from rollout.model.site import KeySite, Site
from rollout.model.time import MINUTE, SECOND, Duration, Instant, minute

_ABSENT = (Trigger.SEEN_UNTOUCHED, Trigger.RETRIED, Trigger.STATED_UNTOUCHED)
"""A restart did not happen: it may be asked again."""

LOOK_SLOWLY_AFTER: tuple[tuple[Duration, int], ...] = (
    (60 * SECOND, 1),
    (5 * MINUTE, 2),
)
"""Ticks between two looks by how long the restart is ago."""
LOOK_SLOWEST = 5
"""The same for older ones."""


class Glimpse(msgspec.Struct, frozen=True, gc=False):
    """The observed state of one instance, and the local time at which the observation started."""

    sight: Observed
    at: Instant


class Absence:
    """Since when an instance has been missing from answers that show others, and from how many."""

    __slots__ = ("reads", "since")

    def __init__(self, since: Instant) -> None:
        self.since = since
        self.reads = 0


class Agenda:
    """All that is volatile about a run in one process. Dicts to None are sets that keep order."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.works: dict[Site, deque[tuple[int, ...]]] = {
            site: deque() for site in run.layout.sites
        }
        """Planned ones, batch by batch, that are next looked at for their attach."""
        self.later: list[tuple[Instant, Site, tuple[int, ...]]] = []
        """Heap of what goes back to `works` after a pause."""
        self.checking: dict[int, None] = {}
        """Looked at on the way to an attach and not attached yet; `checking_in` counts by group."""
        self.checking_in = [0] * len(run.plan.groups)
        self.checked: dict[Site, deque[tuple[int, ...]]] = {
            site: deque() for site in run.layout.sites
        }
        """Instances that match the plan, grouped by attach call."""
        self.glimpses: dict[int, Glimpse] = {}
        """Observations that effects are based on; removed if a new observation is needed."""
        self.last: dict[int, Glimpse] = {}
        """The last observation, whatever became of it."""
        self.ready: dict[Site, dict[RestartKind, list[int]]] = {
            site: {kind: [] for kind in RestartKind} for site in run.layout.sites
        }
        """Ordinals that may be restarted, ascending."""
        self.ready_later: list[tuple[Instant, int]] = []
        """Heap of what will be ready at an instant."""
        self.parked: list[list[int]] = [[] for _ in run.plan.groups]
        """By group: what was ready and waits for a permit of it, ascending."""
        self.refreshing: dict[int, None] = {}
        """Attached ones that are being looked at again before their restart."""
        self.due: dict[Site, dict[int, None]] = {site: {} for site in run.layout.sites}
        """Ordinals to observe in this turn."""
        self.ticks: dict[Instant, list[int]] = {}
        """Ordinals to observe by tick; `tick_heap` holds the keys."""
        self.tick_heap: list[Instant] = []
        self.looks_open: dict[Site, int] = dict.fromkeys(run.layout.sites, 0)
        self.silent_since: dict[Site, Instant] = {}
        """Since when observations of a site have had no answer, by the first lost one."""
        self.keys = KeyWatch(run)
        self.since: dict[int, Instant] = {}
        """From when on it was seen in a state that is waited out."""
        self.attached_since: dict[int, Instant] = {}
        """Local time at which its attach was observed."""
        self.absent: dict[int, Absence] = {}
        self.confirming: dict[Site, dict[int, None]] = {site: {} for site in run.layout.sites}
        """Instances missing for so long that a second API is called to check them."""
        self.witness: dict[Site, int] = {}
        """One that was shown lately: asked along, so that an empty answer can be told from none."""
        self.drift_told: dict[tuple[int, DriftKind], None] = {}
        self.splits: list[tuple[int, ...]] = []
        """Attach calls refused whole for a fact of one of their instances: to be cut in halves."""
        self.news: list[tuple[str, str, str]] = []
        """Families (account, region, image) about whose StartTime something was learned."""

    # time

    def advance(self, now: Instant) -> None:
        """Bring up what has fallen due."""
        while self.later and self.later[0][0] <= now:
            _, site, ordinals = heapq.heappop(self.later)
            self.works[site].appendleft(ordinals)
        while self.ready_later and self.ready_later[0][0] <= now:
            self._insert_ready(heapq.heappop(self.ready_later)[1])
        while self.tick_heap and self.tick_heap[0] <= now:
            for ordinal in self.ticks.pop(heapq.heappop(self.tick_heap)):
                self.look_soon(ordinal)
        self.keys.advance(now)
        for works in self.works.values():
            while works and not any(self._plannable(ordinal) for ordinal in works[0]):
                works.popleft()
        for groups in self.checked.values():
            while groups and self.stale(groups[0][0], now):
                for ordinal in groups.popleft():
                    self.look_soon(ordinal)

    def wake(self) -> Instant | None:
        """The next instant at which something falls due; None = only an answer can bring more."""
        firsts = [heap[0][0] for heap in (self.later, self.ready_later) if heap]
        firsts += self.keys.wakes()
        return min([*firsts, *self.tick_heap[:1]], default=None)

    def stale(self, ordinal: int, now: Instant) -> bool:
        """What was seen of it is too old to judge an effect on (a margin left for the call)."""
        glimpse = self.glimpses.get(ordinal)
        return glimpse is None or now > glimpse.at + limits.STATE_AGE_MAX_MS // 2

    @property
    def stalled(self) -> bool:
        """Nothing is on its way and nothing falls due: only a new decision can bring more."""
        run = self.run
        looking = any(any(part.values()) for part in (self.looks_open, self.due, self.confirming))
        return not (run.open_calls or looking or self.keys.busy) and self.wake() is None

    def waits(self, site: Site) -> bool:
        """Return whether an instance of this site waits for an observation or an attach."""
        waiting = (self.works, self.checked, self.due, self.confirming)
        return any(bool(part[site]) for part in waiting)

    # what is to be looked at

    def look_soon(self, ordinal: int) -> None:
        """Look at it in this turn."""
        self.due[self.run.layout.site_of(ordinal)][ordinal] = None

    def watch(self, ordinal: int, now: Instant) -> None:
        """Look at it on a coming tick: the next one at first, later ones the longer it takes."""
        record = self.run.restarting.get(ordinal)
        age = now - record.begun if record else 0
        self._look_on((now // limits.LOOK_TICK_MS + _ticks(age)) * limits.LOOK_TICK_MS, ordinal)

    def look_from(self, ordinal: int, instant: Instant) -> None:
        """Look at it on the first tick from this instant on: what is shown before says nothing."""
        self._look_on(-(-instant // limits.LOOK_TICK_MS) * limits.LOOK_TICK_MS, ordinal)

    def look_started(self, look: ObserveInstances) -> None:
        """A look is on its way."""
        site = look.site
        self.looks_open[site] += 1
        due = self.due[site]
        for ordinal in look.ordinals:
            due.pop(ordinal, None)
            phase = self.run.phases[ordinal]
            if phase == Phase.PLANNED:
                self.check(ordinal)
            elif phase == Phase.ATTACHED:
                self.refreshing[ordinal] = None
                self._unready(site, ordinal)
        self._drop_from_works(site, look.ordinals)

    def status_started(self, look: ObserveStatuses) -> None:
        """A second opinion on missing instances is on its way."""
        site = look.site
        self.looks_open[site] += 1
        for ordinal in look.ordinals:
            self.confirming[site].pop(ordinal, None)

    def look_ended(self, look: ObserveInstances | ObserveStatuses) -> None:
        """Its answer, or the news that there is none, is here."""
        self.looks_open[look.site] -= 1
        for ordinal in look.ordinals:
            self.refreshing.pop(ordinal, None)

    def found(self, site: Site, ordinal: int) -> None:
        """An answer shows it: it is not missing, and is the witness for those that are."""
        self.absent.pop(ordinal, None)
        self.confirming[site].pop(ordinal, None)
        self.witness[site] = ordinal

    def lose_witness(self, site: Site, now: Instant) -> None:
        """An answer leaves the witness out. Without one a second API proves nothing: what waits for
        its opinion is observed again.
        """
        del self.witness[site]
        for ordinal in self.confirming[site]:
            self.watch(ordinal, now)
        self.confirming[site].clear()

    def answered(self, site: Site) -> None:
        """An observation of this site had an answer, if only a throttled one."""
        self.silent_since.pop(site, None)

    def silent_for(self, site: Site, now: Instant) -> Duration:
        """An observation of this site had no answer: for how long none has had one."""
        return now - self.silent_since.setdefault(site, now)

    def key_due(self, key_site: KeySite, now: Instant) -> bool:
        """Return whether this key pair must be compared now."""
        (site, key), targets = key_site, self.run.layout.targets
        works = self.waits(site) or any(self.ready[site].values())
        attaches = any(targets[group[0]].key == key for group in self.checked[site])
        return self.keys.due(key_site, now, works=works, attaches=attaches)

    # on the way to an attach

    def check(self, ordinal: int) -> None:
        """It is on its way to an attach: it counts as if exposed."""
        if ordinal not in self.checking:
            self.checking[ordinal] = None
            for group in self.run.ledger.reboot_groups(ordinal):
                self.checking_in[group] += 1

    def uncheck(self, ordinal: int) -> None:
        """It is no longer on its way to an attach."""
        if ordinal in self.checking:
            del self.checking[ordinal]
            for group in self.run.ledger.reboot_groups(ordinal):
                self.checking_in[group] -= 1

    def add_checked(self, site: Site, ordinals: Sequence[int]) -> None:
        """These compared equal to the plan and may be attached: one call a cell and key."""
        calls: dict[tuple[int, int], list[int]] = {}
        layout = self.run.layout
        for ordinal in ordinals:
            call = layout.cell_of[ordinal], layout.targets[ordinal].key
            calls.setdefault(call, []).append(ordinal)
        for members in calls.values():
            for start in range(0, len(members), limits.ATTACH_IDS_MAX):
                self.checked[site].append(tuple(members[start : start + limits.ATTACH_IDS_MAX]))

    def try_again(self, ordinals: Iterable[int], now: Instant, tries: int) -> None:
        """Put them back at the front of their site, after a pause that grows with `tries`, or with
        the refusals where one of them is busy.
        """
        members = tuple(ordinals)
        for ordinal in members:
            self.uncheck(ordinal)
        first = self.run.layout.targets[members[0]].instance
        pause = backoff_ms(self.run.run_id, first, tries) if tries else 0
        instant = max(now + pause, self._busy_until(members))
        heapq.heappush(self.later, (instant, self.run.layout.site_of(members[0]), members))

    # on the way to a restart

    def make_ready(self, ordinal: int, now: Instant) -> None:
        """Observed just now: it may be restarted, but not before the minute guard allows (StartTime
        has minutes only), and on an observation that shows every boot from before the attach.
        """
        instant = max(self.run.not_before, self._guard(ordinal, now))
        shows_all = self.attached_since.get(ordinal, 0) + self.run.status_lag_ms
        glimpse = self.glimpses.get(ordinal)
        if glimpse is None or glimpse.at < shows_all:
            self.glimpses.pop(ordinal, None)
            instant = max(instant, shows_all)
        if instant > now:
            heapq.heappush(self.ready_later, (instant, ordinal))
        else:
            self._insert_ready(ordinal)

    def park(self, ordinal: int, group: int) -> None:
        """It waits for a permit of this group."""
        self._unready(self.run.layout.site_of(ordinal), ordinal)
        insort(self.parked[group], ordinal)

    def permits_left(self) -> list[int]:
        """Permits a new restart may take, by group: what is being looked at again has its own,
        and where a cap is 1 what is being checked will reserve it before its attach."""
        ledger = self.run.ledger
        left = ledger.free()
        for group, cap in enumerate(ledger.caps):
            if cap == 1:
                left[group] -= self.checking_in[group]
        for ordinal in self.refreshing:
            if not ledger.permits[ordinal]:
                for group in ledger.groups_of(ordinal):
                    left[group] -= 1
        return left

    def wake_parked(self) -> None:
        """Where a group has permits again, its parked come forward in ordinal order."""
        if not any(self.parked):
            return
        for group, left in enumerate(self.permits_left()):
            if left > 0 and self.parked[group]:
                woken = self.parked[group][:left]
                del self.parked[group][:left]
                for ordinal in woken:
                    self._insert_ready(ordinal)

    # events

    def follow(self, event: AnyEvent, now: Instant) -> None:
        """Told of every event after `evolve`."""
        match event:
            case ev.WaveStarted():
                self.keys.good.clear()
            case ev.CellOpened(cell=cell):
                self._open_cell(cell)
            case ev.Issued(command=command):
                self._follow_issued(command)
            case ev.Settled():
                pass
            case ev.Moved(trigger=trigger, ordinals=ordinals):
                self._follow_moved(trigger, ordinals, now)
            case ev.Held(ordinals=ordinals):
                for ordinal in ordinals:
                    self._forget(ordinal)
            case ev.Released(ordinals=ordinals):
                for ordinal in ordinals:
                    self.watch(ordinal, now)
            case ev.OperatorCommand(command=ev.OperatorWord.ABORT):
                self._drop_work()
            case ev.Split(ordinals=ordinals):
                self.splits = [whole for whole in self.splits if ordinals[0] not in whole]
                self.try_again(ordinals, now, 0)
            case ev.Calibrated(account=account, region=region, image=image):
                self.news.append((account, region, image))
            case _:
                pass

    def follow_settled(self, issued: ev.Issued, event: ev.Settled, now: Instant) -> None:
        """A call ended: what it named is looked at, tried again or split."""
        command = issued.command
        if isinstance(command, ImportKey):
            self._follow_import(command.key_site, event.outcome, now)
            return
        whole = self._to_halve(command, event)
        if whole:
            self.splits.append(tuple(whole))
            return
        again = []
        for ordinal in command.ordinals:
            phase = self.run.phases[ordinal]
            if phase in (Phase.ATTACHING, Phase.IN_DOUBT):
                self.look_soon(ordinal)
            elif phase == Phase.RESTARTING:
                self.watch(ordinal, now)
            elif phase == Phase.PLANNED:
                again.append(ordinal)
            elif phase == Phase.ATTACHED:
                self._ready_again(ordinal, now)
        if again:
            self.try_again(again, now, 1 + max(self.run.attach_tries[o] for o in again))

    def rebuild(self, now: Instant) -> None:
        """Fill the agenda from the state, after a resume."""
        run = self.run
        for number, cell in enumerate(run.layout.cells[: run.cells_next]):
            for start, end in cell.batches:
                planned = [
                    ordinal
                    for ordinal in range(start, end)
                    if run.phases[ordinal] == Phase.PLANNED and not run.held[ordinal]
                ]
                idle = [ordinal for ordinal in planned if ordinal not in run.busy]
                if idle:
                    self.works[run.layout.cells[number].site].append(tuple(idle))
                if len(idle) < len(planned):
                    self.try_again([o for o in planned if o in run.busy], now, 0)
        for ordinal in range(len(run.phases)):
            phase = run.phase(ordinal)
            if run.held[ordinal]:
                continue
            if phase in OBSERVED:
                self.look_soon(ordinal)
            elif phase is Phase.ATTACHED:
                self.attached_since[ordinal] = now
                if ordinal in run.busy:
                    self._ready_again(ordinal, now)
                else:
                    self.make_ready(ordinal, now)

    def next_work(self, site: Site, end: int) -> list[int]:
        """The members of the site's next batch below ordinal `end` that may still be attached."""
        for work in self.works[site]:
            if work[0] < end:
                return self.plannable(work)
        return []

    def plannable(self, work: Sequence[int]) -> list[int]:
        """Those of a batch that may still be attached."""
        return [ordinal for ordinal in work if self._plannable(ordinal)]

    # private

    def _plannable(self, ordinal: int) -> bool:
        return self.run.phases[ordinal] == Phase.PLANNED and not self.run.held[ordinal]

    def _look_on(self, tick: Instant, ordinal: int) -> None:
        waiting = self.ticks.get(tick)
        if waiting is None:
            self.ticks[tick] = waiting = []
            heapq.heappush(self.tick_heap, tick)
        waiting.append(ordinal)

    def _open_cell(self, number: int) -> None:
        cell = self.run.layout.cells[number]
        for start, end in cell.batches:
            self.works[cell.site].append(tuple(range(start, end)))

    def _follow_issued(self, command: Attach | RestartCall | ImportKey) -> None:
        if isinstance(command, ImportKey):
            key_site = command.key_site
            self.keys.missing.pop(key_site, None)
            self.keys.busy[key_site] = None
            self.keys.imports[key_site] = self.keys.imports.get(key_site, 0) + 1
            return
        site = self.run.layout.site_of(command.ordinals[0])
        if isinstance(command, Attach):
            if command.ordinals in self.checked[site]:
                self.checked[site].remove(command.ordinals)
            for ordinal in command.ordinals:
                self.uncheck(ordinal)
        else:
            for ordinal in command.ordinals:
                self._unready(site, ordinal)
                self.attached_since.pop(ordinal, None)

    def _follow_import(self, key_site: KeySite, outcome: Outcome, now: Instant) -> None:
        """Whatever came of an import, a look tells; one that never was is no attempt."""
        if isinstance(outcome, Refused) and outcome.retry in NO_ATTEMPT:
            self.keys.imports[key_site] -= 1
            self.keys.again_later(key_site, now)
        else:
            self.keys.busy.pop(key_site, None)

    def _follow_moved(self, trigger: Trigger, ordinals: Sequence[int], now: Instant) -> None:
        if trigger is Trigger.SEEN_UNATTACHED:
            tries = max(self.run.attach_tries[ordinal] for ordinal in ordinals)
            cells: dict[int, list[int]] = {}
            for ordinal in ordinals:
                cells.setdefault(self.run.layout.cell_of[ordinal], []).append(ordinal)
            for members in cells.values():
                self.try_again(members, now, tries)
            return
        for ordinal in ordinals:
            if trigger is Trigger.SEEN_ATTACHED:
                self.uncheck(ordinal)
                self.attached_since[ordinal] = now
            if trigger in _ABSENT:
                self._ready_again(ordinal, now + self.run.status_lag_ms)  # it may show that late
            elif self.run.at_rest(ordinal):
                self._forget(ordinal)

    def _ready_again(self, ordinal: int, now: Instant) -> None:
        """Back to where a restart may be asked, on a fresh look."""
        self.glimpses.pop(ordinal, None)
        tries = self.run.restart_tries[ordinal]
        instance = self.run.layout.targets[ordinal].instance
        pause = backoff_ms(self.run.run_id, instance, 1 + tries)
        if ordinal in self.run.busy:
            pause = self._busy_until([ordinal]) - now
        heapq.heappush(self.ready_later, (max(now + pause, self.run.not_before), ordinal))

    def _busy_until(self, ordinals: Sequence[int]) -> Instant:
        """When the last of these that are busy may be tried again; 0 where none is busy."""
        run, targets = self.run, self.run.layout.targets
        refused = [(targets[o].instance, run.busy[o]) for o in ordinals if o in run.busy]
        return max(
            (one.last + busy_pause_ms(run.run_id, name, one.refusals) for name, one in refused),
            default=0,
        )

    def _to_halve(self, command: Attach | RestartCall, event: ev.Settled) -> list[int]:
        """Return the instances of an attach that was refused as a whole because of some of them:
        for a fact, or again because an instance is busy.
        """
        planned = self.plannable(command.ordinals)
        if not isinstance(command, Attach) or event.items or len(planned) < 2:
            return []
        busy = self.run.busy.get(planned[0])
        again = busy is not None and busy.refusals >= limits.BUSY_WHOLE_MAX
        halve = is_fact(event.outcome) or (is_busy(event.outcome) and again)
        return planned if halve else []

    def _insert_ready(self, ordinal: int) -> None:
        if self.run.phases[ordinal] == Phase.ATTACHED and not self.run.held[ordinal]:
            site = self.run.layout.site_of(ordinal)
            self._unready(site, ordinal)
            insort(self.ready[site][self._kind(ordinal)], ordinal)

    def _unready(self, site: Site, ordinal: int) -> None:
        for ready in self.ready[site].values():
            _remove(ready, ordinal)

    def _kind(self, ordinal: int) -> RestartKind:
        """What it needs by its last look; what the plan said where there was none. Nothing that is
        ready is looked at, so that it keeps its list.
        """
        glimpse = self.glimpses.get(ordinal)
        if glimpse is None:
            return self.run.layout.targets[ordinal].restart
        stopped = glimpse.sight.status is Status.STOPPED
        return RestartKind.START if stopped else RestartKind.REBOOT

    def _guard(self, ordinal: int, now: Instant) -> Instant:
        """When its next minute has begun by the service's clock, which stands at the time of the
        answer that is here now, or beyond.
        """
        glimpse = self.glimpses.get(ordinal)
        if glimpse is None or glimpse.sight.status is not Status.RUNNING:
            return now
        api_now = glimpse.sight.api_time or now
        if minute(api_now) > minute(glimpse.sight.started_at):
            return now
        return now + (minute(glimpse.sight.started_at) + 1) * MINUTE - api_now

    def _drop_work(self) -> None:
        """Nothing is begun any more: only what is open is observed."""
        self.later.clear()
        self.splits.clear()
        for site in self.run.layout.sites:
            self.works[site].clear()
            self.checked[site].clear()

    def _forget(self, ordinal: int) -> None:
        self.uncheck(ordinal)
        self.glimpses.pop(ordinal, None)
        self.last.pop(ordinal, None)
        self.since.pop(ordinal, None)
        self.attached_since.pop(ordinal, None)
        self.absent.pop(ordinal, None)
        site = self.run.layout.site_of(ordinal)
        self.due[site].pop(ordinal, None)
        self.confirming[site].pop(ordinal, None)
        self._unready(site, ordinal)
        for parked in self.parked:
            _remove(parked, ordinal)

    def _drop_from_works(self, site: Site, ordinals: Sequence[int]) -> None:
        """What is being looked at no longer waits for its look; its neighbours still do."""
        works = self.works[site]
        looked = frozenset(ordinals)
        end = self.run.front_end
        front = next((number for number, work in enumerate(works) if work[0] < end), 0)
        for number in dict.fromkeys((0, front)):
            if works and not looked.isdisjoint(works[number]):
                rest = tuple(ordinal for ordinal in works[number] if ordinal not in looked)
                if rest:
                    works[number] = rest
                else:
                    del works[number]
                return


def _ticks(age: Duration) -> int:
    """Ticks until the next look at what was restarted so long ago."""
    for bound, ticks in LOOK_SLOWLY_AFTER:
        if age < bound:
            return ticks
    return LOOK_SLOWEST


def _remove(ordered: list[int], ordinal: int) -> None:
    """Take an ordinal out of an ascending list, where it is in it."""
    position = bisect_left(ordered, ordinal)
    if position < len(ordered) and ordered[position] == ordinal:
        del ordered[position]
