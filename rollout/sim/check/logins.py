"""Checkers of the logins that a run says it proved.

Each compares the journal with the guests of the emulated cloud. Listed and called by `checkers`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rollout.core.running.journey import Phase
from rollout.model import event as ev
from rollout.model.command import RestartCall
from rollout.model.plan import public_key_digest
from rollout.model.probe import LoginVerdict
from rollout.sim.check.history import History
from rollout.sim.world.scenario import ExternalChange

_REKEYS = (ExternalChange.KEY, ExternalChange.GONE, ExternalChange.RESTARTED)
"""External changes after which a guest may accept other keys than when it was probed."""


class LoginProved:
    """With `verify`, `done` only where the guest accepts the new key, and refuses the former one
    where the plan says so.
    """

    ids = ("I-79",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the accepted keys of each guest that is done with the plan, at the end."""
        record, run = history.record, history.record.run
        if run is None or not record.scenario.logins.proved or record.keys_replaced:
            return
        former = {(one.site, one.name): one.public_key_digest for one in record.plan.former()}
        for ordinal, target in enumerate(history.layout.targets):
            name, at = target.instance, record.cloud.instances.ids.ordinal_of(target.instance)
            if run.phase(ordinal) is not Phase.DONE or history.touched(name, *_REKEYS):
                continue
            guest = record.cloud.assistant.guest(at or 0, record.ended)
            accepted = {public_key_digest(line) for line in guest.keys}
            wanted = record.wanted[name].public_key_digest
            if wanted not in accepted:
                yield f"{name} is done and refuses the new key"
            old = former.get((history.layout.site_of(ordinal), target.former_key), wanted)
            if record.scenario.logins.expect_refused and old != wanted and old in accepted:
                yield f"{name} is done and accepts the former key"


class HostKeyKept:
    """No login is proved on an instance whose host key changed with its restart."""

    ids = ("I-80",)

    def check(self, history: History) -> Iterator[str]:
        """Compare the guests whose host key was read with the host keys that they have now."""
        record, read = history.record, set[int]()
        for one in history.journaled:
            event = one.event
            if isinstance(event, ev.HostKeyRead) and event.host_key:
                read.add(event.ordinal)
            if not isinstance(event, ev.LoginProbed) or event.verdict is not LoginVerdict.PROVED:
                continue
            name = history.layout.targets[event.ordinal].instance
            at = record.cloud.instances.ids.ordinal_of(name)
            changed = record.cloud.instances.host_keys.get(at or 0, 0)
            untouched = not history.touched(name, ExternalChange.RESTARTED)
            if event.ordinal in read and changed and untouched:
                yield f"{name} has another host key than before and is proved"


class CanaryLoginHalts:
    """After an instance of the first wave refused the new key, no restart begins before an operator
    resumed the run.
    """

    ids = ("I-81",)

    def check(self, history: History) -> Iterator[str]:
        """Walk the journal in order."""
        refused = ""
        for one in history.journaled:
            event = one.event
            if isinstance(event, ev.Resumed):
                refused = ""
            elif isinstance(event, ev.LoginProbed):
                canary = history.layout.wave_of(event.ordinal) == 0
                if canary and event.verdict is LoginVerdict.KEY_REFUSED:
                    refused = history.layout.targets[event.ordinal].instance
            elif refused and isinstance(event, ev.Issued):
                restarts = isinstance(event.command, RestartCall)
                yield from [f"a restart begins after {refused} refused the new key"] * restarts
