"""Checkers of runs in which others interfere: failures, foreign key material, busy instances.

Each compares the journal and the final state with what the emulated cloud knows. Listed and called
by `checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rollout.core.running.journey import Phase
from rollout.model import event as ev
from rollout.model import limits
from rollout.model.command import RestartCall
from rollout.model.event import Trigger
from rollout.model.outcome import Refused, RetryClass, Unknown
from rollout.model.plan import RestartKind
from rollout.model.time import Instant
from rollout.sim.check.history import History, Intent
from rollout.sim.world.scenario import ExternalChange


class LaterWavesWait:
    """After a wave with failures no later wave starts before an operator accepted them, unless the
    spec has limits of its own.
    """

    ids = ("I-60",)

    def check(self, history: History) -> Iterator[str]:
        """Find instances of earlier waves that had failed or were in doubt when a wave started."""
        run = history.record.run
        if run is None or run.plan.failure_rule() is not None:
            return
        failed = {
            ordinal
            for ordinal in range(len(history.layout.targets))
            if run.phase(ordinal) in (Phase.FAILED, Phase.STRANDED)
        }
        last: dict[int, int] = {}
        for position, journaled in enumerate(history.journaled):
            last.update(dict.fromkeys(_concerned(history, journaled.event), position))
        doubted: set[int] = set()
        excused: set[int] = set()
        for position, journaled in enumerate(history.journaled):
            doubted = _still_doubted(history, doubted, journaled.event)
            match journaled.event:
                case (
                    ev.FailuresAccepted(ordinals=ordinals)
                    | ev.Held(ordinals=ordinals, reason="foreign_key")
                    | ev.Moved(trigger=ev.Trigger.ABANDONED, ordinals=ordinals)
                ):
                    excused.update(ordinals)
                case ev.WaveStarted(wave=wave) if wave:
                    known = {ordinal for ordinal in failed if last.get(ordinal, 0) < position}
                    for ordinal in sorted((known | doubted) - excused):
                        if history.layout.wave_of(ordinal) < wave:
                            name = history.layout.targets[ordinal].instance
                            yield f"wave {wave} starts after {name} failed or was left in doubt"
                case _:
                    pass


def _concerned(history: History, event: ev.AnyEvent) -> tuple[int, ...]:
    """Return the targets whose phase an event may change."""
    match event:
        case ev.Settled(n=n) if n in history.intents:
            return history.intents[n].ordinals
        case ev.Moved(ordinals=ordinals):
            return ordinals
        case _:
            return ()


def _still_doubted(history: History, doubted: set[int], event: ev.AnyEvent) -> set[int]:
    """Return the ordinals whose restart is neither proved nor disproved after an event."""
    match event:
        case ev.Settled(n=n, outcome=whole, items=items) if n in history.intents:
            intent = history.intents[n]
            if isinstance(intent.issued.command, RestartCall) and intent.ended is not None:
                others = dict(items)
                lost = {o for o in intent.ordinals if isinstance(others.get(o, whole), Unknown)}
                return doubted | lost
        case ev.Moved(trigger=Trigger.DOUBTED, ordinals=ordinals):
            return doubted | set(ordinals)
        case ev.Moved(ordinals=ordinals):
            return doubted - set(ordinals)
        case _:
            pass
    return doubted


class OwnMaterial:
    """`done` at the end only if the key in force is the plan's, not another of that name."""

    ids = ("I-61",)

    _REKEYS: ClassVar[tuple[ExternalChange, ...]] = (
        ExternalChange.KEY,
        ExternalChange.GONE,
        ExternalChange.ROTATED,
        ExternalChange.FOREIGN_RUN,
    )
    """External changes after which another key may be in force although `done` is true."""

    def check(self, history: History) -> Iterator[str]:
        """Compare the public key in force, not the name of its key pair."""
        record, run = history.record, history.record.run
        if run is None:
            return
        instances, pairs = record.cloud.instances, record.cloud.pairs.all
        for number, target in enumerate(history.layout.targets):
            name = target.instance
            odd = history.fact("key_never_installed", name) or history.touched(name, *self._REKEYS)
            odd = odd or self._is_attached_late(history, name)
            ordinal = instances.find(name)
            if run.phase(number) is not Phase.DONE or odd or ordinal is None:
                continue
            in_force = instances.keys_in_force(ordinal, record.ended)
            wanted = record.wanted[name].public_key
            if not any(pairs[key].body == wanted for key in in_force):
                yield f"{name} is done with foreign key material"

    @staticmethod
    def _is_attached_late(history: History, name: str) -> bool:
        """Return whether the network delivered an attach a second time, by which the key pair may
        have been replaced after it was compared.
        """
        return any(effect.duplicate for effect in history.attaches.get(name, ()))


_BUSY = (RetryClass.STATE, RetryClass.GONE)


class BusyWaits:
    """A busy instance is given up only after it has refused for the whole restart timeout."""

    ids = ("I-62",)

    def check(self, history: History) -> Iterator[str]:
        """Measure from the first to the last consecutive refusal of given-up instances."""
        run = history.record.run
        for kind in (history.attach_intents, history.restart_intents) if run else ():
            for ordinal, intents in kind.items():
                refused = self._last_refusals(intents, ordinal)
                if run is None or not refused or run.causes.get(ordinal) != refused[-1][1]:
                    continue
                patience_ms = refused[-1][0] - refused[0][0]
                given_up = run.phase(ordinal) in (Phase.FAILED, Phase.STRANDED)
                if given_up and patience_ms < run.plan.restart.timeout_ms:
                    name = history.layout.targets[ordinal].instance
                    yield f"{name} was given up after {patience_ms} ms of {refused[-1][1]}"

    def _last_refusals(self, intents: list[Intent], ordinal: int) -> list[tuple[Instant, str]]:
        """Return times and codes of the last consecutive refusals."""
        found: list[tuple[Instant, str]] = []
        for intent in intents:
            outcome = intent.outcome(ordinal)
            if isinstance(outcome, Refused) and outcome.retry in _BUSY:
                assert intent.ended is not None  # noqa: S101 - it has an outcome
                found.append((intent.ended.line_at, outcome.code))
            elif not isinstance(outcome, Refused):
                found = []
        return found


class StartsAsPlanned:
    """Only instances that were Stopped at planning are started."""

    ids = ("I-63",)

    def check(self, history: History) -> Iterator[str]:
        """Compare every start in the hidden ledger with the plan."""
        for name, effects in history.restarts.items():
            ordinal = history.ordinal_of.get(name)
            if ordinal is None or history.layout.targets[ordinal].restart is RestartKind.START:
                continue
            if any(one.ours and one.entry.effect == "start" for one in effects):
                yield f"{name} was Running when it was planned, and was started"


class ForeignRunsHalt:
    """The run halts before it restarts more instances than the limit allows that another run also
    rotates.
    """

    ids = ("I-64",)

    def check(self, history: History) -> Iterator[str]:
        """Compare foreign attaches in the hidden ledger with the run's restarts, by wave."""
        wanted = history.record.wanted
        foreign = {
            ordinal
            for name, effects in history.attaches.items()
            if (ordinal := history.ordinal_of.get(name)) is not None
            and history.layout.targets[ordinal].attach
            and ordinal not in history.attach_intents
            and any(not one.ours and one.entry.key_pair == wanted[name].name for one in effects)
        }
        restarted: dict[int, set[int]] = {}
        for journaled in history.journaled:
            match journaled.event:
                case ev.Halted(reason="elsewhere"):
                    return
                case ev.Issued(command=RestartCall(ordinals=ordinals)):
                    for ordinal in foreign.intersection(ordinals):
                        restarted.setdefault(history.layout.wave_of(ordinal), set()).add(ordinal)
                case _:
                    pass
        for wave, others in restarted.items():
            share = history.layout.waves[wave].targets * limits.ELSEWHERE_SHARE_PPM // 1_000_000
            if len(others) > max(limits.ELSEWHERE_MAX, share):
                yield f"{len(others)} of wave {wave} were restarted during another rotation"
