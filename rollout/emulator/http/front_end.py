"""Gateway and cloud together: from an HTTP request to a rendered reply. Pure.

Called by the HTTP server and by in-process transports that sign requests. It injects no faults: the
caller uses `admit` and the fault plan for that.
"""

import msgspec

from rollout.emulator.dispatch import Cloud
from rollout.emulator.http.gateway import Gateway, Message
from rollout.emulator.http.render import Format, Rendered, render
from rollout.emulator.messages import Refusal, Reply, Request


class Admitted(msgspec.Struct, frozen=True):
    """The result of the gateway for a message: a request to handle, or a reply that refuses it."""

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
        """Return the reply to a message into which no fault is injected."""
        admitted = self.admit(message, now)
        reply = admitted.refused or self.cloud.handle(admitted.request, now)
        return render(reply, admitted.request.action, admitted.form)
