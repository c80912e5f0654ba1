"""The other half of `decide`: what the instances of open cells need next.

Looks before an attach, attaches of what compared equal, restarts as far as the ledger has
permits, looks at what is due. Reads state and agenda, writes nothing; called by `turn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from rollout.core.running.agenda import Agenda
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import (
    Attach,
    Command,
    ImportKey,
    Observation,
    ObserveInstances,
    ObserveKeyPair,
    ObserveStatuses,
    RestartCall,
)
from rollout.model.event import AnyEvent
from rollout.model.observation import ObservedGroup, gather
from rollout.model.plan import RestartKind
from rollout.model.site import KeySite, Lane, Site
from rollout.model.spec import Calls
from rollout.model.time import Instant

LOOKS_OPEN_MAX = 8
"""Looks of one site on their way at once: enough to fill a lane, few enough to stop soon."""
RESTARTS_A_STEP_MAX = 256
"""Maximum restarts decided in one step; the next step of the turn continues."""


class Step:
    """The decisions of one step: events to put, observations to start, instances to park."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.events: list[AnyEvent] = []
        self.looks: list[Observation] = []
        self.parks: list[tuple[int, int]] = []
        self.intents = 0

    def __bool__(self) -> bool:
        return bool(self.events or self.looks or self.parks)

    def intend(
        self,
        command: Command,
        not_after: Instant,
        attempt: int,
        seen: tuple[ObservedGroup, ...] = (),
    ) -> None:
        """Add the intent of a call, numbered after those before it."""
        self.intents += 1
        run, n = self.run, self.run.calls_issued + self.intents
        self.events.append(ev.Issued(n, command, not_after, seen, run.epoch, attempt))

    def intend_on(self, agenda: Agenda, command: Attach | RestartCall, attempt: int) -> None:
        """Add an intent judged on the last looks; it may not leave when they have grown old."""
        glimpses = [agenda.glimpses[ordinal] for ordinal in command.ordinals]
        not_after = min(glimpse.at for glimpse in glimpses) + limits.STATE_AGE_MAX_MS
        self.intend(command, not_after, attempt, gather(glimpse.sight for glimpse in glimpses))


def decide(run: Run, agenda: Agenda, now: Instant) -> Step:
    """One step for all open cells. Everything in it fits together."""
    step = Step(run)
    if run.stopping:
        return step
    if run.aborted is not None:
        for site in run.layout.sites:
            _due_looks(run, agenda, site, step)
            _second_opinions(run, agenda, site, step)
            for key_site in run.layout.key_sites[site]:
                if run.comparisons.waiting.get(key_site) and key_site not in agenda.keys.busy:
                    step.looks.append(ObserveKeyPair(*key_site))
        return step
    if run.alarm is not None:
        return step
    end = run.front_end
    if run.left_before is not None and agenda.stalled:
        # What is attached, or compared for it, gives its permit back by its restart. Nothing else
        # of the later wave begins.
        end = len(run.phases)
    for site in run.layout.sites:
        key_sites = run.layout.key_sites[site]
        for key_site in key_sites:
            _key(agenda, key_site, now, step)
        if not agenda.waits(site):
            continue
        _due_looks(run, agenda, site, step)
        _second_opinions(run, agenda, site, step)
        if all(key_site in run.keys for key_site in key_sites):
            _attach(run, agenda, site, end, now, step)
            _check(run, agenda, site, run.front_end, step)
    for whole in agenda.splits[:1]:
        half = (len(whole) + 1) // 2
        step.events += [ev.Split(whole[:half], 1), ev.Split(whole[half:], 2)]
    _restart(run, agenda, end, now, step)
    return step


# the key pair of a region


def _key(agenda: Agenda, key_site: KeySite, now: Instant, step: Step) -> None:
    """Compare the key pair where that is due; import it where a comparison found none."""
    if not agenda.key_due(key_site, now):
        return
    if key_site in agenda.keys.missing:
        command = ImportKey(*key_site.site, key_site.key)
        not_after = now + limits.STATE_AGE_MAX_MS
        step.intend(command, not_after, 1 + agenda.keys.imports.get(key_site, 0))
    else:
        step.looks.append(ObserveKeyPair(*key_site))


# looks


def _due_looks(run: Run, agenda: Agenda, site: Site, step: Step) -> None:
    """Return the due observations, 100 ids per call."""
    room = LOOKS_OPEN_MAX - agenda.looks_open[site]
    due = list(islice(agenda.due[site], max(0, room) * limits.LOOK_IDS_MAX))
    for start in range(0, len(due), limits.LOOK_IDS_MAX):
        step.looks.append(_look(run, agenda, site, due[start : start + limits.LOOK_IDS_MAX]))


def _second_opinions(run: Run, agenda: Agenda, site: Site, step: Step) -> None:
    """Call DescribeInstanceStatus for instances missing for a settle window, with a witness."""
    witness = agenda.witness.get(site)
    room = LOOKS_OPEN_MAX - agenda.looks_open[site]
    if not agenda.confirming[site] or witness is None or room <= 0:
        return
    missing = [o for o in agenda.confirming[site] if o != witness][: limits.STATUS_IDS_MAX - 1]
    ids = tuple(run.layout.targets[ordinal].instance for ordinal in (*missing, witness))
    step.looks.append(ObserveStatuses(site, tuple(missing), ids))


def _look(run: Run, agenda: Agenda, site: Site, ordinals: Sequence[int]) -> ObserveInstances:
    ids = [run.layout.targets[ordinal].instance for ordinal in ordinals]
    known = agenda.witness.get(site)
    ends = run.layout.site_ends[site]
    candidates = ends if known is None else (known, *ends)
    missing = agenda.absent
    witnesses = [o for o in candidates if o not in ordinals and o not in missing]
    if witnesses and len(ids) < limits.LOOK_IDS_MAX:
        ids.append(run.layout.targets[witnesses[0]].instance)
    return ObserveInstances(site, tuple(ordinals), tuple(ids))


def _check(run: Run, agenda: Agenda, site: Site, end: int, step: Step) -> None:
    """Compare the next batch below ordinal `end` with the plan, as far as the ledger allows."""
    if not agenda.works[site] or step.looks or agenda.looks_open[site] >= LOOKS_OPEN_MAX:
        return  # one batch a step, so that all that is let in fits together
    use = run.lane_use(Lane(site, "AttachKeyPair"))
    if use.open + len(agenda.checked[site]) >= use.window:
        return
    work = agenda.next_work(site, end)
    if run.ledger.frozen:
        hopeless = [ordinal for ordinal in work if run.ledger.hopeless(ordinal) is not None]
        if hopeless:
            step.events.append(_budget_held(run, hopeless, run.ledger.hopeless(hopeless[0])))
            return
    room = run.ledger.attachable(work, agenda.checking_in, len(agenda.checking))
    if room:
        step.looks.append(_look(run, agenda, site, work[:room]))


def _looks_in(step: Step, site: Site) -> bool:
    """A look of this site is decided in this step already: the next step counts it."""
    return any(isinstance(look, ObserveInstances) and look.site == site for look in step.looks)


def _budget_held(run: Run, ordinals: Sequence[int], keeper: int | None) -> ev.Held:
    known = keeper is not None and keeper >= 0
    holder = run.layout.targets[keeper or 0].instance if known else "nobody"
    return ev.Held(tuple(ordinals), f"budget_held by {holder}")


# attaches


def _attach(run: Run, agenda: Agenda, site: Site, end: int, now: Instant, step: Step) -> None:
    """Attach instances that match the plan, one call per batch, while observations are fresh."""
    groups = [group for group in agenda.checked[site] if group[0] < end]
    if not groups or not agenda.keys.fresh(run.layout.key_site_of(groups[0][0]), now):
        return
    use = run.lane_use(Lane(site, "AttachKeyPair"))
    if use.open >= use.window:
        return
    ordinals = groups[0]
    if any(agenda.stale(ordinal, now) for ordinal in ordinals):
        return
    early = [ordinal for ordinal in ordinals if run.ledger.reserves_early(ordinal)]
    free = run.ledger.free()
    if any(run.ledger.full_group(o, RestartKind.REBOOT, free) is not None for o in early):
        return
    ids = tuple(run.layout.targets[ordinal].instance for ordinal in ordinals)
    command = Attach(ordinals, ids, run.layout.targets[ordinals[0]].key)
    tries = 1 + max(run.attach_tries[ordinal] for ordinal in ordinals)
    step.intend_on(agenda, command, tries)


# restarts


def _restart(run: Run, agenda: Agenda, end: int, now: Instant, step: Step) -> None:
    """Attached instances in ordinal order: restarted where all groups have a permit, or parked."""
    ready = [site for site in run.layout.sites if any(agenda.ready[site].values())]
    sites = [site for site in ready if agenda.keys.ready(site)]
    free = agenda.permits_left() if sites else []
    for site in sites:
        _restart_site(run, agenda, site, end, now, free, step)
    _hopeless_parked(run, agenda, step)


def _restart_site(
    run: Run, agenda: Agenda, site: Site, end: int, now: Instant, free: list[int], step: Step
) -> None:
    """A full lane costs nothing: nobody who waits for it is looked at, and none claims a permit."""
    refresh: list[int] = []
    looks_full = agenda.looks_open[site] >= LOOKS_OPEN_MAX or _looks_in(step, site)
    look_room = 0 if looks_full else limits.LOOK_IDS_MAX
    for kind, calls in _lane_room(run, site).items():
        room = calls
        begin: dict[int, list[int]] = {}
        for ordinal in agenda.ready[site][kind][:RESTARTS_A_STEP_MAX] if room > 0 else ():
            if ordinal >= end:
                break
            stale = agenda.stale(ordinal, now)
            if stale and len(refresh) >= look_room:
                continue  # claims no permit in this step, so that nobody is parked behind it
            full = run.ledger.full_group(ordinal, kind, free)
            if full is not None:
                step.parks.append((ordinal, full))
                continue
            if kind is RestartKind.REBOOT and not run.ledger.permits[ordinal]:
                for group in run.ledger.groups_of(ordinal):
                    free[group] -= 1
            if stale:
                refresh.append(ordinal)
                continue
            begin.setdefault(run.layout.cell_of[ordinal], []).append(ordinal)
            room -= run.plan.calls is Calls.SINGLE
            if room <= 0:
                break
        _intend_restarts(run, agenda, kind, begin, step)
    if refresh:
        step.looks.append(_look(run, agenda, site, refresh))


def _intend_restarts(
    run: Run, agenda: Agenda, kind: RestartKind, begin: dict[int, list[int]], step: Step
) -> None:
    size = 1 if run.plan.calls is Calls.SINGLE else limits.RESTART_IDS_MAX
    for ordinals in begin.values():
        for start in range(0, len(ordinals), size):
            part = tuple(ordinals[start : start + size])
            ids = tuple(run.layout.targets[ordinal].instance for ordinal in part)
            command = RestartCall(kind, part, ids)
            tries = 1 + max(run.restart_tries[ordinal] for ordinal in part)
            step.intend_on(agenda, command, tries)


def _lane_room(run: Run, site: Site) -> dict[RestartKind, int]:
    """Calls of each kind that may still be opened at this site."""
    room = {}
    for kind in RestartKind:
        use = run.lane_use(Lane(site, kind.action(many=run.plan.calls is Calls.BATCH)))
        room[kind] = use.window - use.open
    return room


def _hopeless_parked(run: Run, agenda: Agenda, step: Step) -> None:
    for group, parked in enumerate(agenda.parked):
        if parked and run.ledger.kept[group] >= run.ledger.caps[group]:
            part = parked[: limits.EVENT_ORDINALS_MAX]
            step.events.append(_budget_held(run, part, run.ledger.keeper[group]))
            return
