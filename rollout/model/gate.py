"""Gates: questions to systems outside the service, and their answers.

A gate with `gate: auto` asks them before the next wave starts. Created by `specfile`, stored in the
plan, asked through `probes`. They contain references to secrets, never a secret.
"""

from __future__ import annotations

import enum
import shlex

import msgspec

from rollout.model import limits
from rollout.model.text import cut
from rollout.model.time import Duration


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a question is asked. One without an answer after `timeout_ms` is unanswered.

    `every_ms` is the interval during a bake, 0 if it is asked only after it. A gate that is still
    shut `wait_ms` after its first answer that did not open it halts the run.
    """

    timeout_ms: Duration = limits.GATE_TIMEOUT_MS
    every_ms: Duration = 0
    wait_ms: Duration = limits.GATE_WAIT_MS


class HttpGate(Asked, frozen=True, tag="http"):
    """A GET of `url`: open if it returns the status `expect`, and the value that the JMESPath
    expression `query` selects in its JSON body is `equals`, which is JSON text.

    `headers` are references to secrets by the name of the header.
    """

    url: str
    expect: int = 200
    query: str = ""
    equals: str = ""
    headers: dict[str, str] = {}

    def __str__(self) -> str:
        return f"http {self.url}"


class ExecGate(Asked, frozen=True, tag="exec"):
    """A program with its arguments: open if it exits with 0. `env` are variables that it gets."""

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"exec {shlex.join(self.argv)}"


class PrometheusGate(Asked, frozen=True, tag="prometheus"):
    """An instant query: open if every series of the result satisfies `wanted`, such as `< 0.01`."""

    url: str
    query: str
    wanted: str
    headers: dict[str, str] = {}

    def __str__(self) -> str:
        return f"prometheus {self.query} {self.wanted}"


COMPARISON = r"(<=|>=|==|!=|<|>)\s*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)"
"""A comparison of `PrometheusGate`: operator and number."""

AnyGate = HttpGate | ExecGate | PrometheusGate


def name(gate: AnyGate) -> str:
    """Return a question as text of bounded length."""
    return cut(str(gate), limits.GATE_NAME_MAX)


class GateAnswer(enum.StrEnum):
    """The answer to a question. Only `open` opens a gate; `unknown` is the lack of an answer."""

    OPEN = "open"
    SHUT = "shut"
    UNKNOWN = "unknown"


class GateReply(msgspec.Struct, frozen=True):
    """An answer, and what was received, as one line of text."""

    answer: GateAnswer
    text: str
