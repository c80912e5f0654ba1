"""Checkers of what was done: intents, sends and effects, one small class an invariant.

Each compares the hidden ledger and what was sent with plan and journal; none of them asks the core
how it decided. Listed and called by `checkers`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from rollout.engines.clock import JUMP_MS
from rollout.model import event as ev
from rollout.model import limits
from rollout.model import plan as planmodel
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.event import Trigger
from rollout.model.instance import Status
from rollout.model.observation import spread
from rollout.model.outcome import Refused, RetryClass
from rollout.model.plan import RestartKind
from rollout.model.spec import OnUnknown
from rollout.model.time import minute
from rollout.sim.check.history import AttributedEffect, History, Intent, Told
from rollout.sim.world.scenario import Hand


class DurableFirst:
    """An intent is durable before its call leaves."""

    ids = ("I-01",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the bytes that were durable at each send with where its intent ends."""
        for sent in history.sent:
            intent = history.intents.get(sent.n)
            if intent is None or intent.told.end_bytes > sent.durable_bytes:
                yield f"call {sent.n} left before its intent was durable"


class IntentsAreWhole:
    """An intent names what it is judged on, and ids of one cell of the plan, not too many."""

    ids = ("I-02", "I-03", "I-05")

    def check(self, history: History) -> Iterator[str]:
        """Read every intent against the plan."""
        for n, intent in history.intents.items():
            issued, command = intent.issued, intent.issued.command
            if issued.epoch != intent.told.epoch or issued.attempt < 1:
                yield f"intent {n} lacks epoch or attempt"
            if isinstance(command, ImportKey):
                continue
            most = limits.ATTACH_IDS_MAX if isinstance(command, Attach) else limits.RESTART_IDS_MAX
            ids = command.instances
            if not 0 < len(ids) <= most or len(set(ids)) != len(ids):
                yield f"intent {n} names {len(ids)} ids, or one twice"
            if len(list(spread(issued.seen))) != len(ids):
                yield f"intent {n} does not say what was seen of each id"
            planned = [history.ordinal_of.get(one) for one in ids]
            if planned != list(command.ordinals):
                yield f"intent {n} names what is not planned"
            elif len({history.layout.cell_of[o] for o in command.ordinals}) > 1:
                yield f"intent {n} names ids of two cells"


class SentAsIntended:
    """What leaves is what was intended, once, and nothing but the four kinds of mutation."""

    ids = ("I-04", "I-15")

    ALLOWED: ClassVar[tuple[str, ...]] = (
        *("AttachKeyPair", "RebootInstance", "RebootInstances"),
        *("StartInstance", "StartInstances", "ImportKeyPair"),
    )

    def check(self, history: History) -> Iterator[str]:
        """Compare sends with intents; a second send is legal after a refused clock only."""
        counts: dict[int, int] = {}
        for sent in history.sent:
            intent = history.intents.get(sent.n)
            if sent.action not in self.ALLOWED:
                yield f"{sent.action} left"
            if intent is not None and sent.ids != intent.ids:
                yield f"call {sent.n} left for other instances than its intent names"
            counts[sent.n] = counts.get(sent.n, 0) + 1
        for n, count in counts.items():
            clocks = any(f.fault == "timestamp_expired" for f in history.story.scenario.faults)
            if count > 1 + clocks:
                yield f"call {n} left {count} times"


class OneProcess:
    """Never two live processes of one run: whoever comes second is refused its locks."""

    ids = ("I-41", "P17")

    def check(self, history: History) -> Iterator[str]:
        """Who got in beside a living process, and whose lives overlap."""
        begun = history.story.begun
        for at in history.story.intruders:
            yield f"another process held the locks of a living one at {at - begun} ms"
        if history.story.sent_after_loss:
            yield f"{history.story.sent_after_loss} calls left a process that had lost its run"
        for one, other in itertools.pairwise(history.story.lives):
            if other.begun < one.ended:
                yield f"a process began at {other.begun - begun} ms, while one was alive"


class LinuxOnly:
    """No effect on an instance that is not Linux, or was not when it was seen last."""

    ids = ("I-06",)

    def check(self, history: History) -> Iterator[str]:
        """Look every instance up in the cloud."""
        instances = history.story.cloud.instances
        for effect in history.effects:
            name = effect.entry.instance
            if not effect.ours or name is None or self._unseen(history, name, effect):
                continue
            ordinal = instances.ids.ordinal_of(name)
            if ordinal is None or instances.shape_of(ordinal).image.os_type != "linux":
                yield f"{effect.entry.effect} of {name}, which is not Linux"

    def _unseen(self, history: History, name: str, effect: AttributedEffect) -> bool:
        """Its OS was changed by another hand so late that a look need not show it."""
        touches = history.story.touched.get(name, ())
        changed = [at for at, drift in touches if drift.hand is Hand.WINDOWS]
        late_ms = history.story.scenario.settle_ms + limits.STATE_AGE_MAX_MS
        return bool(changed) and effect.entry.at < changed[0] + late_ms


class CompareAndSet:
    """No attach over a key that is neither the former nor the wanted one, and none of a third."""

    ids = ("I-07",)

    def check(self, history: History) -> Iterator[str]:
        """What was seen, and the truth where no other hand moved in between."""
        for n, intent in history.intents.items():
            if isinstance(intent.issued.command, Attach):
                for ordinal, seen in zip(intent.ordinals, spread(intent.issued.seen), strict=True):
                    target = history.layout.targets[ordinal]
                    wanted = history.layout.wanted(ordinal).name
                    if seen.key_pair not in (target.former_key, wanted):
                        yield f"intent {n}: {target.instance} was seen on {seen.key_pair}"
        for name, effects in history.attaches.items():
            for key in (effect.entry.key_pair for effect in effects if effect.ours):
                if name in history.ordinal_of and key != history.story.wanted[name].name:
                    yield f"{name} was attached to {key}, which the plan does not name for it"


class RightState:
    """Reboot what was last seen Running, start what was Stopped."""

    ids = ("I-09",)

    def check(self, history: History) -> Iterator[str]:
        """What each restart intent says it saw."""
        for n, intent in history.intents.items():
            command = intent.issued.command
            if isinstance(command, RestartCall):
                reboot = command.kind is RestartKind.REBOOT
                due = Status.RUNNING if reboot else Status.STOPPED
                if any(seen.status is not due for seen in spread(intent.issued.seen)):
                    yield f"intent {n}: {command.kind} of what was not {due.value}"


class NotLocked:
    """No effect on what was locked before the look it was judged on."""

    ids = ("I-10",)

    def check(self, history: History) -> Iterator[str]:
        """Locks put on by another hand, long enough before for every look to show them."""
        patience = history.story.scenario.settle_ms
        for name, touches in history.story.touched.items():
            locked = [at for at, drift in touches if drift.hand is Hand.LOCKED]
            ours = [*history.restarts.get(name, ()), *history.attaches.get(name, ())]
            for effect in ours:
                if locked and effect.ours and effect.entry.at > locked[0] + patience:
                    yield f"{effect.entry.effect} of {name}, locked long before"


class OneOpen:
    """At most one open mutation of an instance."""

    ids = ("I-11",)

    def check(self, history: History) -> Iterator[str]:
        """Follow the journal."""
        open_: dict[int, int] = {}
        for told in history.told:
            match told.event:
                case ev.Resumed():
                    open_.clear()
                case ev.Issued(n=n):
                    for ordinal in history.intents[n].ordinals:
                        if ordinal in open_:
                            yield f"call {n} while call {open_[ordinal]} of {ordinal} is open"
                        open_[ordinal] = n
                case ev.Settled(n=n):
                    for ordinal in [o for o, by in open_.items() if by == n]:
                        del open_[ordinal]
                case _:
                    pass


class RestartedOnce:
    """An instance is restarted at most once; `retryOnce` allows one more where the journal says."""

    ids = ("I-12", "P3")

    def check(self, history: History) -> Iterator[str]:
        """Count in the hidden ledger, by intents: a doubled request is not ours."""
        retries = history.story.plan.on_unknown is OnUnknown.RETRY_ONCE
        for name, effects in history.restarts.items():
            intents = {effect.n for effect in effects if effect.ours and not effect.ghost}
            ordinal = history.ordinal_of.get(name)
            moves = history.moves.get(ordinal, []) if ordinal is not None else []
            retried = sum(move.trigger is Trigger.RETRIED for move, _ in moves)
            if len(intents) > 1 + (retries and retried):
                yield f"{name} restarted {len(intents)} times, by calls {sorted(intents)}"


class SettledFirst:
    """No second restart intent inside the settle window of one that may have happened."""

    ids = ("I-13",)

    def check(self, history: History) -> Iterator[str]:
        """Follow the intents of each instance."""
        settle_ms = history.story.plan.restart.settle_window_ms
        for ordinal, intents in history.restart_intents.items():
            for first, second in itertools.pairwise(intents):
                if isinstance(first.outcome(ordinal), Refused):
                    continue
                heard = first.ended.event if first.ended else None
                since = heard.at if isinstance(heard, ev.Settled) else first.told.line_at
                if second.told.line_at < since + settle_ms:
                    yield f"call {second.issued.n} in the settle window of {first.issued.n}"


class MinuteGuard:
    """No reboot in the minute of the recorded StartTime."""

    ids = ("I-14",)

    def check(self, history: History) -> Iterator[str]:
        """The clocks of cloud and run are one here."""
        for n, intent in history.intents.items():
            command = intent.issued.command
            if isinstance(command, RestartCall) and command.kind is RestartKind.REBOOT:
                last = max(seen.started_at for seen in spread(intent.issued.seen))
                if minute(intent.told.at) <= minute(last):
                    yield f"call {n} reboots in the minute of a start"


class EffectsIntended:
    """Every effect has its intent, which names the instance and the action."""

    ids = ("I-23", "P11")

    _WORDS: ClassVar[dict[str, type]] = {
        "attach": Attach,
        "reboot": RestartCall,
        "start": RestartCall,
        "import": ImportKey,
    }

    def check(self, history: History) -> Iterator[str]:
        """The hidden ledger against the journal."""
        for effect in history.effects:
            entry = effect.entry
            if effect.n == 0:
                continue
            intent = history.intents.get(effect.n)
            kind = self._WORDS.get(entry.effect)
            if intent is None or kind is None or not isinstance(intent.issued.command, kind):
                yield f"{entry.effect} of {entry.instance} without an intent"
            elif entry.instance is not None and entry.instance not in intent.ids:
                yield f"{entry.effect} of {entry.instance}, which call {effect.n} does not name"


class WavesInOrder:
    """Nothing of a wave is touched before all waves before it are closed."""

    ids = ("I-33", "P7")

    def check(self, history: History) -> Iterator[str]:
        """Effects in the ledger against the waves of the journal."""
        begun = {
            told.event.wave: told.at
            for told in history.told
            if isinstance(told.event, ev.WaveStarted)
        }
        for effect in history.effects:
            ordinal = history.ordinal_of.get(effect.entry.instance or "")
            if not effect.ours or ordinal is None:
                continue
            wave = history.layout.wave_of(ordinal)
            if wave not in begun or effect.entry.at < begun[wave]:
                yield f"{effect.entry.instance} touched before wave {wave} began"
        order = [
            (type(told.event), told.event.wave)
            for told in history.told
            if isinstance(told.event, ev.WaveStarted | ev.WaveClosed)
        ]
        due = [(kind, w) for w in range(len(order)) for kind in (ev.WaveStarted, ev.WaveClosed)]
        if order != due[: len(order)]:
            yield "waves out of order"


_NO_ATTEMPTS = (RetryClass.THROTTLED, RetryClass.UNSENT, RetryClass.STATE, RetryClass.GONE)


class AttemptsBounded:
    """At most three attempts of a request over all processes of a run; a call that never left and a
    refusal because of throttling or of a busy instance are none.
    """

    ids = ("I-37",)

    def check(self, history: History) -> Iterator[str]:
        """Count the calls that the service may have taken up."""
        free = (*_NO_ATTEMPTS, RetryClass.DENIED, RetryClass.CLOCK)
        kinds = (history.attach_intents, history.restart_intents)
        for ordinal, intents in [pair for kind in kinds for pair in kind.items()]:
            tried = [one for one in intents if not self._is_free(one, ordinal, free)]
            if len(tried) > limits.ATTEMPTS_MAX:
                yield f"{len(tried)} attempts of ordinal {ordinal}"

    def _is_free(self, intent: Intent, ordinal: int, free: tuple[RetryClass, ...]) -> bool:
        outcome = intent.outcome(ordinal)
        return isinstance(outcome, Refused) and (
            outcome.retry in free or outcome.retry in (RetryClass.FACT, RetryClass.KEY_PAIR)
        )


class HaltHolds:
    """After a halt, a drain or an abort no intent is written, and none that is written leaves."""

    ids = ("I-38", "P8")

    def check(self, history: History) -> Iterator[str]:
        """Lines in order, and at each send how much of the journal was durable by then."""
        stopped: list[tuple[int, int]] = []
        stopping: Told | None = None
        aborted: Told | None = None
        for told in history.told:
            match told.event:
                case ev.Halted() | ev.Drained():
                    stopping = stopping or told
                case ev.Resumed():
                    if stopping is not None:
                        stopped.append((stopping.end_bytes, told.end_bytes))
                    stopping = None
                case ev.OperatorCommand(command=ev.OperatorWord.ABORT):
                    aborted = told
                    stopped.append((told.end_bytes, 1 << 60))
                case ev.Issued(n=n):
                    if stopping is not None and told.seq > stopping.seq:
                        yield f"intent {n} after the run was stopped"
                    if aborted is not None:
                        yield f"intent {n} after the run was aborted"
                case _:
                    pass
        if stopping is not None:
            stopped.append((stopping.end_bytes, 1 << 60))
        for sent in history.sent:
            if any(first <= sent.durable_bytes < last for first, last in stopped):
                yield f"call {sent.n} left after the run was stopped"


class SentInTime:
    """No call leaves after its `not_after`, nor when what it was judged on has grown too old."""

    ids = ("I-50", "P22")

    def check(self, history: History) -> Iterator[str]:
        """Every send, in the world's time, against the observation behind its intent."""
        for sent in history.sent:
            intent = history.intents.get(sent.n)
            if intent is None:
                continue
            observed = intent.issued.not_after - limits.STATE_AGE_MAX_MS
            lag = history.story.lag_at(intent.told.epoch, observed)
            late_ms = sent.at - intent.issued.not_after - lag
            if late_ms > (JUMP_MS if history.story.pauses else 0):
                yield f"call {sent.n} left {late_ms} ms too late"


class KeysStay:
    """The former key pairs and the new one exist unchanged at the end."""

    ids = ("I-57",)

    def check(self, history: History) -> Iterator[str]:
        """Nothing of this run deletes or imports over a key pair."""
        if any(effect.ours and effect.entry.effect == "delete" for effect in history.effects):
            yield "a key pair was deleted"
        imports = Counter(
            (effect.entry.key_pair, effect.entry.region)
            for effect in history.effects
            if effect.ours and effect.entry.effect == "import"
        )
        for (name, region), count in imports.items():
            if count > 1:
                yield f"key pair {name} was imported {count} times in {region}"


class PlanOnlyLooks:
    """Planning leaves no effect, and applying does not change the plan."""

    ids = ("I-58", "P10")

    def check(self, history: History) -> Iterator[str]:
        """The ledger when the plan was made, and the plan's digest in the journal."""
        if history.story.planned_effects:
            yield f"planning left {history.story.planned_effects} effects"
        digest = planmodel.digest(history.story.raw)
        for told in history.told:
            if isinstance(told.event, ev.RunStarted) and told.event.plan_digest != digest:
                yield f"another plan was applied: {told.event.plan_digest}"
