"""Run the command line on a machine that is suspended once: `suspended.py HOW apply …`.

Used only by tests. When the first AttachKeyPair is signed and its connection is not open yet, 96
seconds pass in the world and on the clocks that HOW names. Another operator attaches the key pair
`foreign` to the instances of that call. Timers of the event loop do not advance, as on a real
machine.

HOW is `suspend` (CLOCK_BOOTTIME and the wall clock count the time) or `pause` (only the wall clock
counts it, as in a virtual machine that its host paused).
"""

from __future__ import annotations

import os
import sys

from rollout.app import connect
from rollout.app.notices import Notices
from rollout.app.session import Connection
from rollout.cli import main
from rollout.ecs import wire
from rollout.ecs.transport import AiohttpTransport, SignedCall
from rollout.engines.clock import LoopClock
from rollout.model.outcome import Done
from rollout.model.site import Site

FOREIGN = "foreign"
FOREIGN_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJlNxeuGGSBM1gnJC2SVtF9bGQNqVEcT9aXyMnCqVvU3 foreign"
)
LOST_S = 96
_NS = 1_000_000_000


class Machine:
    """The simulated clocks of this process."""

    def __init__(self, how: str) -> None:
        self._suspends = how == "suspend"
        self._lost_ns = 0
        steady_ns, wall_ns = LoopClock.__init__.__defaults__ or ()
        LoopClock.__init__.__defaults__ = (
            lambda: steady_ns() + self._lost_ns * self._suspends,
            lambda: wall_ns() + self._lost_ns,
        )

    def lose(self) -> None:
        """Suspend the machine now, once."""
        self._lost_ns = LOST_S * _NS


async def _attach_elsewhere(call: SignedCall) -> None:
    """Attach another key pair to the same instances, like another operator."""
    params = wire.parse_pairs(call.query)
    instances = tuple(wire.json_array(params["InstanceIds"]) or ())
    where = Connection(emulator=True, endpoint=os.environ["ROLLOUT_ENDPOINT"])
    async with connect.connect(where, Notices()) as link:
        link.allow_changes(0, lambda: "")
        site = Site(link.identity.account, params["RegionId"])
        not_after = link.clock.now() + 30_000
        await link.import_key_pair(site, FOREIGN, FOREIGN_KEY, not_after=not_after)
        answer = await link.attach_key_pair(site, FOREIGN, instances, not_after=not_after)
    if not isinstance(answer.outcome, Done):
        raise TypeError(answer)


def arm(machine: Machine) -> None:
    """Suspend the machine during the first attach of the process."""
    send = AiohttpTransport.send

    async def suspended_send(transport: AiohttpTransport, call: SignedCall) -> wire.HttpReply:
        if call.action == "AttachKeyPair":
            AiohttpTransport.send = send  # type: ignore[method-assign]
            await _attach_elsewhere(call)
            machine.lose()
        return await send(transport, call)

    AiohttpTransport.send = suspended_send  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    arm(Machine(sys.argv.pop(1)))
    main.run()
