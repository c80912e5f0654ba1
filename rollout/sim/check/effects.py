"""Checkers of effects: on planned Linux instances only, in wave order, each one intended.

They compare the hidden ledger with plan and journal and never use the core's decisions. Listed and
called by `checkers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from rollout.model import event as ev
from rollout.model import limits
from rollout.model import plan as planmodel
from rollout.model.command import Attach, ImportKey, RestartCall
from rollout.model.observation import spread
from rollout.sim.check.history import AttributedEffect, History
from rollout.sim.world.scenario import ExternalChange


class LinuxOnly:
    """No effect on an instance that is not Linux, or was not at its last observation."""

    ids = ("I-06",)

    def check(self, history: History) -> Iterator[str]:
        """Look up every instance in the cloud."""
        instances = history.record.cloud.instances
        for effect in history.effects:
            name = effect.entry.instance
            if not effect.ours or name is None or self._unobserved(history, name, effect):
                continue
            ordinal = instances.ids.ordinal_of(name)
            if ordinal is None or instances.shape_of(ordinal).image.os_type != "linux":
                yield f"{effect.entry.effect} of {name}, which is not Linux"

    def _unobserved(self, history: History, name: str, effect: AttributedEffect) -> bool:
        """Return whether its OS was changed externally too late to be observed."""
        touches = history.record.touched.get(name, ())
        changed = [at for at, drift in touches if drift.change is ExternalChange.WINDOWS]
        late_ms = history.record.scenario.settle_ms + limits.STATE_AGE_MAX_MS
        return bool(changed) and effect.entry.at < changed[0] + late_ms


class CompareAndSet:
    """No attach over a key other than the former and the wanted one, and of no third key."""

    ids = ("I-07",)

    def check(self, history: History) -> Iterator[str]:
        """Compare observations, and the true state where nothing else changed it in between."""
        for n, intent in history.intents.items():
            if isinstance(intent.issued.command, Attach):
                for ordinal, observed in zip(
                    intent.ordinals, spread(intent.issued.observed), strict=True
                ):
                    target = history.layout.targets[ordinal]
                    wanted = history.layout.wanted(ordinal).name
                    if observed.key_pair not in (target.former_key, wanted):
                        yield f"intent {n}: {target.instance} was observed on {observed.key_pair}"
        for name, effects in history.attaches.items():
            for key in (effect.entry.key_pair for effect in effects if effect.ours):
                if name in history.ordinal_of and key != history.record.wanted[name].name:
                    yield f"{name} was attached to {key}, which the plan does not name for it"


class EffectsIntended:
    """Every effect has an intent that names the instance and the action."""

    ids = ("I-23", "P11")

    _WORDS: ClassVar[dict[str, type]] = {
        "attach": Attach,
        "reboot": RestartCall,
        "start": RestartCall,
        "import": ImportKey,
    }

    def check(self, history: History) -> Iterator[str]:
        """Compare the hidden ledger with the journal."""
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
    """No instance of a wave changes before all earlier waves are closed."""

    ids = ("I-33", "P7")

    def check(self, history: History) -> Iterator[str]:
        """Compare effects in the hidden ledger with the waves of the journal."""
        begun = {
            journaled.event.wave: journaled.at
            for journaled in history.journaled
            if isinstance(journaled.event, ev.WaveStarted)
        }
        for effect in history.effects:
            ordinal = history.ordinal_of.get(effect.entry.instance or "")
            if not effect.ours or ordinal is None:
                continue
            wave = history.layout.wave_of(ordinal)
            if wave not in begun or effect.entry.at < begun[wave]:
                yield f"{effect.entry.instance} touched before wave {wave} began"
        order = [
            (type(journaled.event), journaled.event.wave)
            for journaled in history.journaled
            if isinstance(journaled.event, ev.WaveStarted | ev.WaveClosed)
        ]
        due = [(kind, w) for w in range(len(order)) for kind in (ev.WaveStarted, ev.WaveClosed)]
        if order != due[: len(order)]:
            yield "waves out of order"


class KeysStay:
    """The former key pairs and the new one exist unchanged at the end."""

    ids = ("I-57",)

    def check(self, history: History) -> Iterator[str]:
        """Find deletes of key pairs, and imports over one, by this run."""
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


class PlanIsReadOnly:
    """Planning leaves no effect, and applying does not change the plan."""

    ids = ("I-58", "P10")

    def check(self, history: History) -> Iterator[str]:
        """Compare the hidden ledger at planning, and the plan's digest in the journal."""
        if history.record.planned_effects:
            yield f"planning left {history.record.planned_effects} effects"
        digest = planmodel.digest(history.record.raw)
        for journaled in history.journaled:
            if isinstance(journaled.event, ev.RunStarted) and journaled.event.plan_digest != digest:
                yield f"another plan was applied: {journaled.event.plan_digest}"
