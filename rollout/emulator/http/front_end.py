"""Gateway and cloud behind one counter: an HTTP request in, a rendered answer out. Pure.

Called by the HTTP server and by in-process transports that sign as on a network. Faults are not its
business: whoever delivers the request looks at `admit` first and asks the fault plan himself.
"""

import msgspec

from rollout.emulator.dispatch import Cloud
from rollout.emulator.http.gateway import Gateway, Message
from rollout.emulator.http.render import Format, Rendered, render
from rollout.emulator.messages import Refusal, Reply, Request


class Admitted(msgspec.Struct, frozen=True):
    """What came of a message at the gateway: a request to handle, or a reply that refuses it."""

    request: Request
    form: Format
    refused: Reply | None = None


class FrontEnd:
    """One cloud with its gateway."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._gateway = Gateway(cloud.access)

    def admit(self, message: Message, now: int) -> Admitted:
        """Read a message and check its signature; `now` in UTC milliseconds."""
        opened = self._gateway.open(message)
        self._gateway.clock_ahead_ms = self.cloud.switches.clock_ahead_ms
        try:
            request = self._gateway.admit(message, opened, now)
        except Refusal as refusal:
            reply = self.cloud.refuse(opened.request, refusal)
            return Admitted(opened.request, opened.form, reply)
        return Admitted(request, opened.form)

    def answer(self, message: Message, now: int) -> Rendered:
        """The whole way of a message that meets no fault."""
        admitted = self.admit(message, now)
        reply = admitted.refused or self.cloud.handle(admitted.request, now)
        return render(reply, admitted.request.action, admitted.form)
