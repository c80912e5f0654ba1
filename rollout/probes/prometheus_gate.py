"""Ask a gate of kind `prometheus`: an instant query, and a comparison of each series.

Called by `probes.gates`. Source: HTTP API of Prometheus, "Instant queries". No data, NaN and a
partial result keep the gate shut.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from yarl import URL

from rollout.model.gate import COMPARISON, GateAnswer, GateReply, PrometheusGate
from rollout.probes.fetch import Fetched, NoReply, fetch

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_LABELS_MAX = 3
"""Labels of a series that a message shows."""


async def ask(gate: PrometheusGate, headers: Mapping[str, str]) -> GateReply:
    """Return the answer. `headers` have the values of the references. Errors: NoReply."""
    url = URL(gate.url) / "api/v1/query" % {"query": gate.query}
    return judge(gate, await fetch(str(url), headers, gate.timeout_ms))


def judge(gate: PrometheusGate, fetched: Fetched) -> GateReply:
    """Return what a reply means for the gate. Errors: NoReply if it is no complete result."""
    series = _series(fetched)
    if not series:
        return GateReply(GateAnswer.SHUT, "no data")
    match = re.fullmatch(COMPARISON, gate.wanted)
    if match is None:
        raise NoReply(f"{gate.wanted} is not a comparison")
    satisfied, bound = _OPERATORS[match[1]], float(match[2])
    for labels, value in series:
        if math.isnan(value) or not satisfied(value, bound):
            named = f" of {labels}" if labels else ""
            return GateReply(GateAnswer.SHUT, f"the value{named} is {value:g}")
    values = [value for _, value in series]
    text = f"the value is {values[0]:g}"
    if len(values) > 1:
        text = f"{len(values)} series, from {min(values):g} to {max(values):g}"
    return GateReply(GateAnswer.OPEN, text)


def _series(fetched: Fetched) -> list[tuple[str, float]]:
    """Return the labels and the value of each series. Errors: NoReply."""
    if fetched.status != 200:
        raise NoReply(f"HTTP {fetched.status}{_error(fetched)}")
    reply = fetched.json()
    try:
        if reply["status"] != "success":
            raise NoReply(f"the query failed{_error(fetched)}")
        if reply.get("warnings"):
            raise NoReply(f"the result may be partial: {reply['warnings'][0]}")
        data = reply["data"]
        if data["resultType"] == "scalar":
            return [("", float(data["result"][1]))]
        if data["resultType"] == "vector":
            return [(_labels(one["metric"]), float(one["value"][1])) for one in data["result"]]
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise NoReply("the reply is not a result of Prometheus") from None
    raise NoReply(f"the result is a {data['resultType']}, expected a vector or a scalar")


def _labels(metric: Mapping[str, Any]) -> str:
    pairs = [f"{name}={value}" for name, value in sorted(metric.items()) if name != "__name__"]
    rest = ", …" if len(pairs) > _LABELS_MAX else ""
    return f"{{{', '.join(pairs[:_LABELS_MAX])}{rest}}}" if pairs else ""


def _error(fetched: Fetched) -> str:
    """Return the message of an error of Prometheus; empty if there is none."""
    try:
        return f": {fetched.json()['error']}"
    except (NoReply, KeyError, TypeError):
        return ""
