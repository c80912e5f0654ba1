"""The other half of `decide`: what the instances of open cells need next.

Observations before an attach, attaches of instances that match the plan, restarts as far as the
ledger has permits, due observations. Reads both halves of the state and writes neither; called by
the decider.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from rollout.core.invariant import invariant
from rollout.core.running import login_evidence, thresholds
from rollout.core.running.state import Run
from rollout.core.running.step import Step
from rollout.core.running.waiting import Waiting
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import (
    Attach,
    ImportKey,
    ObserveInstances,
    ObserveKeyPair,
    ObserveStatuses,
    RestartCall,
)
from rollout.model.plan import RestartKind
from rollout.model.probe import ReadHostKey
from rollout.model.site import KeySite, Lane, Site
from rollout.model.spec import Calls
from rollout.model.time import Instant

RESTARTS_A_STEP_MAX = 256
"""Maximum restarts decided in one step; the next step of the turn continues."""


def decide(waiting: Waiting, now: Instant) -> Step:
    """Return one step for all open cells. All its decisions are compatible."""
    run, watching = waiting.run, waiting.watching
    step = Step(waiting, now)
    if run.stopping:
        return step
    _probe(step)
    if run.aborted is not None:
        for site in run.layout.sites:
            _observe_due(step, site)
            _confirm_missing(step, site)
            for key_site in run.layout.key_sites[site]:
                if run.comparisons.waiting.get(key_site) and key_site not in watching.keys.busy:
                    step.observations.append(ObserveKeyPair(*key_site))
        return step
    if run.alarm is not None:
        return step
    _census(step)
    if step.events:
        return step  # what may begin is decided on the new counts, in the next step
    front = end = run.startable_end
    if not run.resting and front < len(run.phases) and waiting.stalled:
        # The restarts of attached instances give their permits back. No attach of the later wave
        # begins.
        end = len(run.phases)
    for site in run.layout.sites:
        key_sites = run.layout.key_sites[site]
        for key_site in key_sites:
            _compare_key(step, key_site)
        if not waiting.waits(site):
            continue
        _observe_due(step, site)
        _confirm_missing(step, site)
        if run.counted and all(key_site in run.keys for key_site in key_sites):
            _attach(step, site)
            _check(step, site, front)
    for whole in waiting.splitting[:1]:
        half = (len(whole) + 1) // 2
        step.events += [ev.Split(whole[:half]), ev.Split(whole[half:])]
    if run.counted:
        _restart(step, end)
    return step


# members that are no targets


def _census(step: Step) -> None:
    """Observe members of groups that are no targets; end a census of all of them."""
    census = step.watching.census
    if not census.needed:
        return
    at = step.watching.service_time or step.now
    silent = list(census.silence(at))
    step.observations += census.due(step.now)
    ended = census.full and census.finished and not silent
    step.events += [ev.CensusTaken(at)] if ended else silent


# the key pair of a region


def _compare_key(step: Step, key_site: KeySite) -> None:
    """Compare the key pair where that is due; import it where a comparison found none."""
    if not step.waiting.key_due(key_site, step.now):
        return
    keys = step.watching.keys
    if key_site in keys.missing:
        if step.run.resting:
            return
        command = ImportKey(*key_site.site, key_site.key)
        not_after = step.not_after(step.now)
        step.intend(command, not_after, 1 + keys.imports.get(key_site, 0))
    else:
        step.observations.append(ObserveKeyPair(*key_site))


# observations


def _observe_due(step: Step, site: Site) -> None:
    """Add the due observations, 100 ids per call."""
    due = list(islice(step.watching.due[site], step.room(site) * limits.OBSERVE_IDS_MAX))
    for start in range(0, len(due), limits.OBSERVE_IDS_MAX):
        step.observations.append(_observe(step, site, due[start : start + limits.OBSERVE_IDS_MAX]))


def _confirm_missing(step: Step, site: Site) -> None:
    """Call DescribeInstanceStatus for instances missing for a settle window, with a witness."""
    missing, witness = step.watching.missing[site], step.watching.witness.get(site)
    if not missing or witness is None or not step.room(site):
        return
    ordinals = [o for o in missing if o != witness][: limits.STATUS_IDS_MAX - 1]
    targets = step.run.layout.targets
    ids = tuple(targets[ordinal].instance for ordinal in (*ordinals, witness))
    step.observations.append(ObserveStatuses(site, tuple(ordinals), ids))


def _observe(step: Step, site: Site, ordinals: Sequence[int]) -> ObserveInstances:
    layout, watching = step.run.layout, step.watching
    ids = [layout.targets[ordinal].instance for ordinal in ordinals]
    known = watching.witness.get(site)
    ends = layout.site_ends[site]
    candidates = ends if known is None else (known, *ends)
    witnesses = [o for o in candidates if o not in ordinals and o not in watching.absent]
    if witnesses and len(ids) < limits.OBSERVE_IDS_MAX:
        ids.append(layout.targets[witnesses[0]].instance)
    return ObserveInstances(site, tuple(ordinals), tuple(ids))


def _check(step: Step, site: Site, end: int) -> None:
    """Compare the next batch below ordinal `end` with the plan, as far as the ledger allows."""
    run, waiting = step.run, step.waiting
    if not waiting.queued[site] or step.calls or not step.room(site):
        return  # one batch a step, so that each is judged on the counts after the one before
    use = run.lane_use(Lane(site, "AttachKeyPair"))
    if use.open + len(waiting.checked[site]) >= use.window:
        return
    batch = waiting.next_batch(site, end)
    ledger, permits = run.ledger, waiting.permits
    if _hold_blocked(step, batch):
        return
    batch = batch[: thresholds.admissible(run, len(permits.checking))]
    checking = permits.checking_in, len(permits.checking)
    attached, parks = ledger.attachable(batch, *checking, step.free.left)
    step.parks += parks
    if attached:
        step.observations.append(_observe(step, site, attached))
        for ordinal in attached:
            if ledger.reserves_early(ordinal) and not ledger.counts(ordinal):
                step.free.take(ordinal)


def _hold_blocked(step: Step, ordinals: Iterable[int]) -> bool:
    """Hold those of these that wait for permits which only an operator can free; return whether
    there are any.
    """
    ledger = step.run.ledger
    if not ledger.frozen:
        return False
    keepers = {o: keeper for o in ordinals if (keeper := ledger.blocked_by(o)) is not None}
    if keepers:
        blocked = tuple(keepers)
        step.events.append(ev.Held(blocked, _held_by(step.run, keepers[blocked[0]])))
    return bool(keepers)


def _observed_in(step: Step, site: Site) -> bool:
    """Return whether this step observes instances of the site: the next step counts that call."""
    return any(isinstance(one, ObserveInstances) and one.site == site for one in step.calls)


def _held_by(run: Run, keeper: int) -> str:
    """Return the reason of instances that wait for permits which only an operator can free."""
    invariant(keeper >= 0, "kept permits have a keeper")
    return f"budget_held by {run.layout.member(keeper).instance}"


# logins


def _probe(step: Step) -> None:
    """Add the due probes, host keys first: restarts wait for them."""
    run, logins = step.run, step.watching.logins
    if not (logins.unread or logins.due):
        return
    layout = run.layout
    unread = (o for o in logins.unread if o not in logins.reading) if run.aborted is None else ()
    for ordinal in islice(unread, logins.room):
        instance, site = layout.targets[ordinal].instance, layout.site_of(ordinal)
        step.probes.append(ReadHostKey(site, ordinal, instance))
    for ordinal in islice(logins.due, logins.room - len(step.probes)):
        step.probes.append(login_evidence.probe(run, ordinal))


# attaches


def _attach(step: Step, site: Site) -> None:
    """Attach instances that match the plan, one call per batch, while observations are fresh."""
    run, watching = step.run, step.watching
    ordinals = next(iter(step.waiting.checked[site]), ())
    if not ordinals or not watching.keys.fresh(run.layout.key_site_of(ordinals[0]), step.now):
        return
    use = run.lane_use(Lane(site, "AttachKeyPair"))
    if use.open >= use.window:
        return
    if any(watching.outdated(ordinal, step.now) for ordinal in ordinals):
        return
    early = [ordinal for ordinal in ordinals if run.ledger.reserves_early(ordinal)]
    lacking = step.reserve(early)
    if lacking:  # members went down since the batch was observed
        if not _hold_blocked(step, early):
            step.parks += lacking
        return
    room = thresholds.admissible(run, step.attaching)
    if room is not None and room < len(ordinals):  # more instances are at risk since then
        step.returns.append(ordinals)
        return
    step.attaching += len(ordinals)
    ids = tuple(run.layout.targets[ordinal].instance for ordinal in ordinals)
    tries = 1 + max(run.attach_tries[ordinal] for ordinal in ordinals)
    step.intend_on_samples(Attach(ordinals, ids, run.layout.targets[ordinals[0]].key), tries)


# restarts


def _restart(step: Step, end: int) -> None:
    """Attached instances in ordinal order: restarted where all groups have a permit, or parked."""
    waiting = step.waiting
    ready = [site for site in step.run.layout.sites if any(waiting.ready[site].values())]
    sites = [site for site in ready if step.watching.keys.ready(site)]
    for site in sites:
        _restart_site(step, site, end)
    _hold_parked(step)


def _restart_site(step: Step, site: Site, end: int) -> None:
    """A full site costs nothing: no instance that waits for it is observed or claims a permit."""
    run, waiting, watching = step.run, step.waiting, step.watching
    refresh: list[int] = []
    room_to_observe = (
        0 if _observed_in(step, site) or not step.room(site) else limits.OBSERVE_IDS_MAX
    )
    for kind, calls in _lane_room(run, site).items():
        room = calls
        begin: dict[int, list[int]] = {}
        for ordinal in waiting.ready[site][kind][:RESTARTS_A_STEP_MAX] if room > 0 else ():
            if ordinal >= end:
                break
            outdated = watching.outdated(ordinal, step.now)
            if outdated and len(refresh) >= room_to_observe:
                continue  # claims no permit in this step, so that no instance is parked behind it
            if ordinal in watching.logins.unread:
                continue  # its host key is read first
            full = run.ledger.full_group(ordinal, kind, step.free.left, step.free.overtaken)
            if full is not None:
                step.parks.append((ordinal, full))
                continue
            used_up = step.starts.used_up(ordinal)
            if used_up is not None:
                step.paced.append((ordinal, used_up))
                continue
            step.starts.take(ordinal)
            if run.ledger.counts(ordinal):
                step.free.begin(ordinal)
            elif kind is RestartKind.REBOOT:
                step.free.take(ordinal)
            if outdated:
                refresh.append(ordinal)
                continue
            begin.setdefault(run.layout.cell_of[ordinal], []).append(ordinal)
            room -= run.plan.calls is Calls.SINGLE or ordinal in run.alone
            if room <= 0:
                break
        _intend_restarts(step, kind, begin)
    if refresh:
        step.observations.append(_observe(step, site, refresh))


def _intend_restarts(step: Step, kind: RestartKind, begin: dict[int, list[int]]) -> None:
    run = step.run
    size = 1 if run.plan.calls is Calls.SINGLE else limits.RESTART_IDS_MAX
    for ordinals in begin.values():
        together = [ordinal for ordinal in ordinals if ordinal not in run.alone]
        starts = range(0, len(together), size)
        batches = [tuple(together[start : start + size]) for start in starts]
        singles = [(ordinal,) for ordinal in ordinals if ordinal in run.alone]
        for part in batches + singles:
            ids = tuple(run.layout.targets[ordinal].instance for ordinal in part)
            tries = 1 + max(run.restart_tries[ordinal] for ordinal in part)
            step.intend_on_samples(RestartCall(kind, part, ids), tries)


def _lane_room(run: Run, site: Site) -> dict[RestartKind, int]:
    """Return the number of calls of each kind that may still be opened in this site."""
    room = {}
    for kind in RestartKind:
        use = run.lane_use(Lane(site, kind.action(many=run.plan.calls is Calls.BATCH)))
        room[kind] = use.window - use.open
    return room


def _hold_parked(step: Step) -> None:
    """Hold instances that wait for a permit which only an operator can free."""
    permits = step.waiting.permits
    for group in permits.stuck()[:1]:
        part = tuple(permits.waiting_in(group)[: limits.EVENT_ORDINALS_MAX])
        if step.run.ledger.caps[group]:
            reason = _held_by(step.run, step.run.ledger.keeper_of(group))
        else:  # planned as a start: no member of the group was Running when planned
            reason = f"budget_held by the cap 0 of {step.run.plan.groups[group].key}"
        step.events.append(ev.Held(part, reason))
