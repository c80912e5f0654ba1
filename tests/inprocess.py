"""A transport that hands calls to a function, usually an emulated cloud: no socket and no clock."""

import asyncio
from collections.abc import Callable

import msgspec

from rollout.ecs.transport import SignedCall
from rollout.ecs.wire import HttpReply


class InProcessTransport:
    """Answers at once. The function may raise NotSent or Lost as the network would."""

    def __init__(self, handle: Callable[[SignedCall], HttpReply]) -> None:
        self._handle = handle

    async def send(self, call: SignedCall) -> HttpReply:
        """Return the answer of the function, its header names in lower case."""
        await asyncio.sleep(0)
        reply = self._handle(call)
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return msgspec.structs.replace(reply, headers=headers)

    async def aclose(self) -> None:
        """Hold nothing open."""
