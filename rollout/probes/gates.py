"""Ask the questions of gates, and check before a run whether they can be asked from this machine.

Called by the engine through its port `GateSource`, and by preflight. Nothing raises: an error, a
time-out and a missing secret are the answer `unknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rollout.errors import Problem
from rollout.model import limits
from rollout.model.gate import AnyGate, ExecGate, GateAnswer, GateReply, HttpGate, PrometheusGate
from rollout.model.phrase import say
from rollout.model.printable import escaped
from rollout.model.text import cut
from rollout.probes import exec_gate, http_gate, prometheus_gate, references
from rollout.probes.fetch import NoReply
from rollout.probes.references import UnreadableSecret


@dataclass(frozen=True, slots=True)
class GateProbes:
    """The questions of gates, asked from this machine. `hide` receives each secret before use."""

    environment: Mapping[str, str] = field(repr=False)
    hide: Callable[[str], None]

    async def ask(self, gate: AnyGate) -> GateReply:
        """Return the answer to a question, on one line of bounded length."""
        try:
            reply = await self._ask(gate)
        except (NoReply, UnreadableSecret) as error:
            reply = GateReply(GateAnswer.UNKNOWN, str(error))
        return GateReply(reply.answer, cut(escaped(reply.text), limits.GATE_TEXT_MAX))

    def problems(self, gate: AnyGate) -> Iterator[Problem]:
        """Yield why a question cannot be asked from this machine: R0343, asking nothing."""
        if isinstance(gate, ExecGate):
            if not exec_gate.is_program(gate.argv[0], self.environment):
                hint = say(
                    "install it on this machine, or correct `exec` in the spec and plan again"
                )
                yield Problem(
                    "R0343", say("{program} is not a program", program=gate.argv[0]), cure=hint
                )
            for name in gate.env:
                if not self.environment.get(name):
                    yield Problem(
                        "R0343",
                        say("the variable {name} is not set", name=name),
                        cure=say("set {name}", name=name),
                    )
            return
        try:
            self._headers(gate)
        except UnreadableSecret as error:
            yield Problem(
                "R0343", error.text, cure=say("set it before the run is started or resumed")
            )

    async def _ask(self, gate: AnyGate) -> GateReply:
        match gate:
            case HttpGate():
                return await http_gate.ask(gate, self._headers(gate))
            case PrometheusGate():
                return await prometheus_gate.ask(gate, self._headers(gate))
            case ExecGate():
                for name in gate.env:
                    self.hide(self.environment.get(name, ""))
                return await exec_gate.ask(gate, self.environment)

    def _headers(self, gate: HttpGate | PrometheusGate) -> dict[str, str]:
        """Return the headers with the values of their references. Errors: UnreadableSecret."""
        return {
            name: references.read(reference, self.environment, self.hide)
            for name, reference in gate.headers.items()
        }
