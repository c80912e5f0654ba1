"""Ask a gate of kind `http`: compare the status of a GET and a value of its JSON body.

Called by `probes.gates`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from rollout.model.gate import GateAnswer, GateReply, HttpGate
from rollout.probes.fetch import Fetched, NoReply, fetch


async def ask(gate: HttpGate, headers: Mapping[str, str]) -> GateReply:
    """Return the answer. `headers` have the values of the references. Errors: NoReply."""
    return judge(gate, await fetch(gate.url, headers, gate.timeout_ms))


def judge(gate: HttpGate, fetched: Fetched) -> GateReply:
    """Return what a reply means for the gate. Errors: NoReply if the body cannot be read."""
    status = f"HTTP {fetched.status}"
    if fetched.status != gate.expect:
        return GateReply(GateAnswer.SHUT, f"{status}, expected {gate.expect}")
    if not gate.query:
        return GateReply(GateAnswer.OPEN, status)
    try:
        found = jmespath.search(gate.query, fetched.json())
    except JMESPathError as error:
        raise NoReply(f"{gate.query} cannot be evaluated: {type(error).__name__}") from None
    same = equal(found, json.loads(gate.equals))
    text = f"{gate.query} is {json.dumps(found, ensure_ascii=False)}"
    expected = "" if same else f", expected {gate.equals}"
    return GateReply(GateAnswer.OPEN if same else GateAnswer.SHUT, text + expected)


def equal(found: Any, wanted: Any) -> bool:
    """Return whether two JSON values are equal: a boolean equals no number."""
    return isinstance(found, bool) is isinstance(wanted, bool) and bool(found == wanted)
