"""A transport that passes calls to a function, usually an emulated cloud; it uses no socket or
clock.
"""

import asyncio
from collections.abc import Callable

import msgspec

from rollout.ecs.transport import SignedCall
from rollout.ecs.wire import HttpReply


class InProcessTransport:
    """Answers immediately. The function can raise NotSent or Lost like the network."""

    def __init__(self, handle: Callable[[SignedCall], HttpReply]) -> None:
        self._handle = handle

    async def send(self, call: SignedCall) -> HttpReply:
        """Return the function's answer, with header names in lower case."""
        await asyncio.sleep(0)
        reply = self._handle(call)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return msgspec.structs.replace(reply, headers=headers)

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""
