"""The census: observe the members of groups, and find which of them are down without this run.

Part of the watch list: `decide_instances` reads it, the decider reports each reply to it. Never
journaled; what a census found is state, in `Run.away`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import msgspec

from rollout.core.running.evolve_phases import GONE
from rollout.core.running.journey import FINAL
from rollout.core.running.state import Run
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import ObserveMembers
from rollout.model.instance import Instance, Status
from rollout.model.site import Site
from rollout.model.time import Instant


class Census(msgspec.Struct, eq=False, kw_only=True):
    """The census of one run in one process. Dicts to None are sets that keep order.

    A round observes all members whose groups matter now (`full`), at the start of a wave and every
    ten minutes, or between these only the members that are down. Members whose region does not
    answer are `unanswered`: a full round counts them as down.
    """

    run: Run
    left: dict[Site, dict[int, None]] = {}
    """Members that this round still has to observe."""
    asked: dict[int, None] = {}
    """Members whose reply this round waits for."""
    unanswered: dict[int, None] = {}
    open: dict[Site, int] = {}
    """Calls without a reply."""
    heard: dict[Site, Instant] = {}
    """When a region answered last, or the round began."""
    again_at: dict[Site, Instant] = {}
    """After a failed call: when the region is called again."""
    began: Instant = 0
    """When the round began; 0: no round is open."""
    full: bool = False
    full_at: Instant = 0
    """When the next full round is due."""
    down_at: Instant = 0
    """When members that are down are observed again."""

    @property
    def needed(self) -> bool:
        """Whether restarts may begin, so that the counts matter."""
        run = self.run
        works = run.wave_open is not None or run.left_before is not None
        return bool(run.layout.members) and works and not run.frozen and not run.resting

    @property
    def finished(self) -> bool:
        """Whether a round is open and nothing of it is left."""
        return bool(self.began) and not (self.asked or any(self.left.values()))

    # time

    def advance(self, now: Instant) -> None:
        """Begin a round that is due, end one of members that are down, give up silent regions."""
        if not self.needed:
            return
        self._give_up_silent(now)
        if self.began and not self.full and self.finished:
            self.end(now)
        if not self.began:
            if not self.run.counted or now >= self.full_at:
                self.begin(now)
            elif self.run.away and now >= self.down_at:
                self._begin(self.run.away, now, full=False)

    def wake(self) -> Instant | None:
        """Return when time alone brings something about; None without such an instant."""
        if not self.needed:
            return None
        if not self.began:
            return min(self.full_at, self.down_at) if self.run.away else self.full_at
        waits = [site for site in self.left if self.left[site] or self._asks(site)]
        silent = [self.heard[site] + limits.CENSUS_SILENCE_MS for site in waits]
        again = [
            at for site, at in self.again_at.items() if self.left.get(site) and self._room(site)
        ]
        return min([*silent, *again], default=None)

    def begin(self, now: Instant) -> None:
        """Begin a full round if one is needed; one that is open is given up."""
        self.began = 0
        if self.needed:
            self._begin(self._members(), now, full=True)

    def end(self, now: Instant) -> None:
        """The round is over."""
        if self.full:
            self.full_at = self.began + limits.CENSUS_EVERY_MS
        self.began, self.down_at = 0, now + limits.CENSUS_AGAIN_MS
        self.unanswered.clear()

    # calls

    def due(self, now: Instant) -> Iterator[ObserveMembers]:
        """Yield the calls that are due."""
        for site, members in self.left.items():
            if not members or now < self.again_at.get(site, 0):
                continue
            ordinals = list(islice(members, self._room(site) * limits.OBSERVE_IDS_MAX))
            for start in range(0, len(ordinals), limits.OBSERVE_IDS_MAX):
                part = tuple(ordinals[start : start + limits.OBSERVE_IDS_MAX])
                names = tuple(self.run.layout.member(one).instance for one in part)
                yield ObserveMembers(site, part, names)

    def started(self, call: ObserveMembers) -> None:
        """The call is open."""
        self.open[call.site] = self.open.get(call.site, 0) + 1
        self.again_at.pop(call.site, None)
        for ordinal in call.ordinals:
            del self.left[call.site][ordinal]
            self.asked[ordinal] = None

    def answered(self, call: ObserveMembers, sent_at: Instant, now: Instant) -> bool:
        """The call was answered; return whether the answer counts. One that is old, as after a
        suspension of the machine, does not: its members are observed again. Answers to calls from
        before the round are no part of it.
        """
        if now - sent_at > limits.STATE_AGE_MAX_MS:
            self.heard[call.site] = now
            self.failed(call, now)
            return False
        self.open[call.site] -= 1
        self.heard[call.site] = now
        if sent_at >= self.began:
            for ordinal in call.ordinals:
                self.asked.pop(ordinal, None)
        return True

    def failed(self, call: ObserveMembers, now: Instant) -> None:
        """The call got no answer: its members are observed again on the next tick."""
        self.open[call.site] -= 1
        tick = (now // limits.OBSERVE_TICK_MS + 1) * limits.OBSERVE_TICK_MS
        self.again_at[call.site] = tick
        for ordinal in call.ordinals:
            if ordinal in self.asked:
                del self.asked[ordinal]
                self.left[call.site][ordinal] = None

    # findings

    def judge_targets(
        self, ordinals: Iterable[int], listed: Iterable[Instance], at: Instant
    ) -> Iterator[ev.MembersDown | ev.MembersUp]:
        """Yield what changed by an observation that targets need for their attach or restart: one
        that has just given its permit back, as it is held, may be down.
        """
        return self.judge((o for o in ordinals if self._is_member(o)), listed, at)

    def judge(
        self, ordinals: Iterable[int], listed: Iterable[Instance], at: Instant
    ) -> Iterator[ev.MembersDown | ev.MembersUp]:
        """Yield what changed by an answer: only Running is up, a missing member is down. An answer
        that is older than the one by which a member is down does not bring it up.
        """
        counted = [ordinal for ordinal in ordinals if self._counts(ordinal)]
        if not counted:
            return
        statuses = {one.id: one.status for one in listed}
        member = self.run.layout.member
        states = [(ordinal, statuses.get(member(ordinal).instance)) for ordinal in counted]
        away = self.run.away
        running = (o for o, status in states if status is Status.RUNNING and o in away)
        up = [ordinal for ordinal in running if at > away[ordinal].since]
        if up:
            yield ev.MembersUp(tuple(up), at)
        down = {
            ordinal: status.value if status else "missing"
            for ordinal, status in states
            if status is not Status.RUNNING
        }
        yield from self._down(down, at)

    def silence(self, at: Instant) -> Iterator[ev.MembersDown]:
        """Yield the members that are down because their region does not answer."""
        return self._down(dict.fromkeys(self.unanswered, "no answer"), at)

    def _down(self, found: dict[int, str], at: Instant) -> Iterator[ev.MembersDown]:
        """Yield members that are down and were not, then those that have been for long."""
        run = self.run
        new: dict[str, list[int]] = {}
        for ordinal, evidence in found.items():
            if ordinal not in run.away and self._counts(ordinal):
                new.setdefault(evidence, []).append(ordinal)
        for evidence, ordinals in new.items():
            yield from _parts(ordinals, evidence, at, lasting=False)
        long: dict[str, list[int]] = {}
        for ordinal in found:
            away = run.away.get(ordinal)
            old = away is not None and at - away.since >= limits.CENSUS_EVERY_MS
            if old and away is not None and ordinal not in run.ledger.lasting:
                long.setdefault(away.evidence, []).append(ordinal)
        for evidence, ordinals in long.items():
            yield from _parts(ordinals, evidence, at, lasting=True)

    # private

    def _begin(self, members: Iterable[int], now: Instant, *, full: bool) -> None:
        self.began, self.full = now, full
        self.left = {}
        self.asked.clear()
        self.unanswered.clear()
        self.again_at.clear()
        for ordinal in members:
            self.left.setdefault(self._site(ordinal), {})[ordinal] = None
        self.heard = dict.fromkeys(self.left, now)

    def _give_up_silent(self, now: Instant) -> None:
        """Wait no longer for members whose region has not answered for a while."""
        for site, members in self.left.items():
            if now >= self.heard[site] + limits.CENSUS_SILENCE_MS:
                asked = [ordinal for ordinal in self.asked if self._site(ordinal) == site]
                silent = [*members, *asked]
                members.clear()
                for ordinal in asked:
                    del self.asked[ordinal]
                self.unanswered.update(dict.fromkeys(silent if self.full else ()))

    def _members(self) -> Iterator[int]:
        """Yield the members of groups in which a restart of the open wave, or of an earlier wave,
        may begin. Targets matter in the parts of the fleet only.
        """
        run, parts = self.run, self.run.ledger.parts
        layout, first = run.layout, len(run.phases)
        wave = run.waves_closed - 1 if run.wave_open is None else run.wave_open
        end = layout.cells[layout.waves[wave].cells[1] - 1].end
        active = {
            group
            for ordinal in range(end)
            if run.phase(ordinal) not in FINAL
            for group in layout.targets[ordinal].groups
        }
        for ordinal in layout.members:
            known = any(
                group in active and (ordinal >= first or parts[group])
                for group in layout.groups_of(ordinal)
            )
            if known and self._counts(ordinal):
                yield ordinal

    def _counts(self, ordinal: int) -> bool:
        """Return whether the member may be down without this run: a target has no permit, and is
        not known to be released.
        """
        run = self.run
        if ordinal >= len(run.phases):
            return True
        return not run.ledger.permits[ordinal] and run.causes.get(ordinal) != GONE

    def _is_member(self, ordinal: int) -> bool:
        members = self.run.layout.members
        at = bisect_left(members, ordinal)
        return at < len(members) and members[at] == ordinal

    def _room(self, site: Site) -> int:
        """Return how many more calls of a region may be open."""
        return max(limits.CENSUS_CALLS_MAX - self.open.get(site, 0), 0)

    def _asks(self, site: Site) -> bool:
        return any(self._site(one) == site for one in self.asked)

    def _site(self, ordinal: int) -> Site:
        return self.run.layout.home_of(ordinal)


def _parts(
    ordinals: Sequence[int], evidence: str, at: Instant, *, lasting: bool
) -> Iterator[ev.MembersDown]:
    for start in range(0, len(ordinals), limits.EVENT_ORDINALS_MAX):
        part = tuple(ordinals[start : start + limits.EVENT_ORDINALS_MAX])
        yield ev.MembersDown(part, evidence, at, lasting)
