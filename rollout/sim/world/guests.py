"""The emulated prober: what a login to a guest of the emulated cloud shows.

Used by both simulators. Reads the hidden state of the guest; a scenario decides how often a guest
cannot be reached.
"""

from __future__ import annotations

import msgspec

from rollout.emulator.cloud.lifecycle import BaseStatus
from rollout.emulator.dispatch import Cloud
from rollout.emulator.guest import shell
from rollout.model.plan import Plan, public_key_digest
from rollout.model.probe import (
    HostKeySeen,
    KeyAccess,
    LoginSeen,
    Probe,
    ProbeLogin,
    ReadHostKey,
)
from rollout.model.time import SECOND, Duration, Instant
from rollout.sim.time.dice import Dice

LATENCY_MS = (20, 2 * SECOND)


class Guests(msgspec.Struct, eq=False):
    """The guests of one cloud, for the probes of one plan."""

    cloud: Cloud
    plan: Plan
    dice: Dice
    lost_percent: int = 0
    """Probes that reach no guest."""

    def delay(self) -> Duration:
        """Return how long a probe takes one way."""
        return self.dice.between(*LATENCY_MS)

    def observe(self, probe: Probe, now: Instant) -> HostKeySeen | LoginSeen:
        """Return what a probe that arrives now observes."""
        guest = self._guest(probe.instance, now)
        if isinstance(probe, ReadHostKey):
            return HostKeySeen(why="timeout") if guest is None else HostKeySeen(guest.host_key)
        if guest is None:
            return LoginSeen(KeyAccess.UNKNOWN, why="timeout")
        return self._login(probe, guest)

    def _guest(self, instance: str, now: Instant) -> shell.Guest | None:
        ordinal = self.cloud.instances.find(instance)
        if ordinal is None or self.dice.chance(self.lost_percent):
            return None
        if self.cloud.instances.status(ordinal, now) != BaseStatus.RUNNING:
            return None
        return self.cloud.assistant.guest(ordinal, now)

    def _login(self, probe: ProbeLogin, guest: shell.Guest) -> LoginSeen:
        if probe.host_key and guest.host_key != probe.host_key:
            return LoginSeen(host_key=guest.host_key)
        accepted = {public_key_digest(line) for line in guest.keys}
        new = _access(self.plan.keys[probe.key].public_key_digest in accepted)
        former = _access(probe.former_key in accepted) if probe.former_key else KeyAccess.UNTRIED
        return LoginSeen(new, former, guest.host_key)


def _access(accepted: bool) -> KeyAccess:  # noqa: FBT001 - a converter
    return KeyAccess.ACCEPTED if accepted else KeyAccess.REFUSED
