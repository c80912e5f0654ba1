"""Questions of gates against real servers and programs: only a clear answer is open."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.model import limits
from rollout.model.gate import ExecGate, GateAnswer, GateReply, HttpGate, PrometheusGate
from rollout.probes import http_gate, prometheus_gate
from rollout.probes.fetch import Fetched, NoReply
from rollout.probes.gates import GateProbes
from tests.probes.test_fetch import server

OPEN, SHUT, UNKNOWN = GateAnswer.OPEN, GateAnswer.SHUT, GateAnswer.UNKNOWN


def probes(hidden: list[str] | None = None, /, **environment: str) -> GateProbes:
    """A source with this environment, and PATH."""
    found = {"PATH": os.environ["PATH"], **environment}
    return GateProbes(found, ([] if hidden is None else hidden).append)


async def python(code: str, timeout_ms: int = 20_000, **environment: str) -> GateReply:
    """Ask a program that runs this code."""
    gate = ExecGate(argv=(sys.executable, "-c", code), env=("TOKEN",), timeout_ms=timeout_ms)
    return await probes(None, **environment).ask(gate)


# http


@pytest.mark.parametrize(
    "gate,status,body,answer,text",
    [
        ({"expect": 204}, 204, "", OPEN, "HTTP 204"),
        ({"expect": 204}, 200, "", SHUT, "HTTP 200, expected 204"),
        ({"query": "firing", "equals": "0"}, 200, '{"firing": 0}', OPEN, "firing is 0"),
        ({"query": "firing", "equals": "0"}, 200, '{"firing": 2}', SHUT, "firing is 2, expected 0"),
        ({"query": "firing", "equals": "0"}, 200, '{"firing": false}', SHUT, "false, expected 0"),
        ({"query": "a.b", "equals": '"ok"'}, 200, '{"a": 1}', SHUT, 'null, expected "ok"'),
        ({"query": "length(@)", "equals": "1"}, 200, "[7]", OPEN, "length(@) is 1"),
    ],
)
def test_status_and_value(
    gate: dict[str, Any], status: int, body: str, answer: GateAnswer, text: str
) -> None:
    """The status is compared first; a boolean equals no number."""
    reply = http_gate.judge(HttpGate(url="https://g/", **gate), Fetched(status, body.encode()))
    assert reply.answer is answer and text in reply.text


@pytest.mark.parametrize("body", ["", "[", "not json"])
def test_a_body_that_is_not_json_is_no_answer(body: str) -> None:
    """Neither is one on which the expression fails."""
    with pytest.raises(NoReply, match="not JSON"):
        http_gate.judge(
            HttpGate(url="https://g/", query="a", equals="1"), Fetched(200, body.encode())
        )
    with pytest.raises(NoReply, match="cannot be evaluated"):
        http_gate.judge(
            HttpGate(url="https://g/", query="length(a)", equals="1"), Fetched(200, b'{"a": 1}')
        )


@pytest.mark.asyncio
async def test_headers_have_the_secret_which_is_hidden() -> None:
    """The value of the reference arrives; a missing variable asks nothing and is named."""
    hidden: list[str] = []
    async with server() as address:
        gate = HttpGate(
            url=f"{address}/header", query="token", equals='"s3"', headers={"X-Token": "env:TOKEN"}
        )
        reply = await probes(hidden, TOKEN="s3").ask(gate)
        assert reply == GateReply(OPEN, 'token is "s3"') and hidden == ["s3"]
        assert await probes().ask(gate) == GateReply(UNKNOWN, "env:TOKEN is not set or empty")
        (problem,) = probes().problems(gate)
        assert problem.code == "R0343"


# exec


@pytest.mark.asyncio
async def test_the_exit_code_decides_and_the_first_line_is_kept() -> None:
    """Output of both streams counts; control characters are escaped."""
    reply = await python("import sys; print('\\n\\x1b[31mfreeze until 9'); sys.exit(3)")
    assert reply == GateReply(SHUT, r"exit 3: \u{1b}[31mfreeze until 9")
    reply = await python("import sys; print('fine', file=sys.stderr)")
    assert reply == GateReply(OPEN, "exit 0: fine")
    reply = await python("print('x' * 100_000)")
    assert reply.answer is OPEN and len(reply.text) == limits.GATE_TEXT_MAX


@pytest.mark.asyncio
async def test_a_program_gets_few_variables() -> None:
    """It gets those that the gate names, no others, and no input."""
    code = (
        "import os, sys; print(os.environ.get('TOKEN'), 'SECRET' in os.environ, sys.stdin.read())"
    )
    reply = await python(code, TOKEN="t", SECRET="s")
    assert reply.text == "exit 0: t False"


@pytest.mark.asyncio
async def test_a_program_is_killed_with_its_children_at_the_timeout(tmp_path: Path) -> None:
    """No answer, and nothing is left of the process group."""
    mark = tmp_path / "pid"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(mark)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    asked = time.monotonic()
    reply = await python(code, timeout_ms=3_000)
    assert reply == GateReply(UNKNOWN, "no exit within 3 s, killed")
    assert time.monotonic() - asked < 20
    child = int(mark.read_text())
    for _ in range(100):
        if _is_gone(child):
            break
        await anyio.sleep(0.05)
    assert _is_gone(child)


def _is_gone(pid: int) -> bool:
    """Whether a process ended; nobody may have collected its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.asyncio
async def test_programs_that_do_not_run() -> None:
    """A missing program and one that a signal ends are no answer; preflight finds the first."""
    missing = ExecGate(argv=("./no-such-program",), env=("TOKEN",))
    assert (await probes().ask(missing)).answer is UNKNOWN
    assert [one.code for one in probes().problems(missing)] == ["R0343", "R0343"]
    reply = await python("import os; os.kill(os.getpid(), 15)")
    assert reply == GateReply(UNKNOWN, "ended by SIGTERM")


# prometheus


def vector(*values: str, **fields: Any) -> Fetched:
    """A reply with these series."""
    result = [{"metric": {"app": f"a{n}"}, "value": [1, one]} for n, one in enumerate(values)]
    data = {"resultType": "vector", "result": result}
    return Fetched(200, json.dumps({"status": "success", "data": data, **fields}).encode())


def prometheus(fetched: Fetched, wanted: str = "< 0.01") -> GateReply:
    """Judge a reply."""
    return prometheus_gate.judge(PrometheusGate(url="https://p", query="q", wanted=wanted), fetched)


@pytest.mark.parametrize(
    "values,wanted,answer,text",
    [
        (["0.001"], "< 0.01", OPEN, "the value is 0.001"),
        (["0.001", "0.02"], "< 0.01", SHUT, "the value of {app=a1} is 0.02"),
        (["1", "3"], ">= 1", OPEN, "2 series, from 1 to 3"),
        ([], "< 0.01", SHUT, "no data"),
        (["NaN"], "!= 5", SHUT, "is nan"),
        (["+Inf"], "< 1", SHUT, "is inf"),
        (["0"], "==0", OPEN, "the value is 0"),
    ],
)
def test_every_series_must_satisfy_the_comparison(
    values: list[str], wanted: str, answer: GateAnswer, text: str
) -> None:
    """No data and NaN keep the gate shut, also for `!=`."""
    reply = prometheus(vector(*values), wanted)
    assert reply.answer is answer and text in reply.text


@pytest.mark.parametrize(
    "fetched,cause",
    [
        (Fetched(503, b"down"), "HTTP 503"),
        (Fetched(400, b'{"status": "error", "error": "parse error"}'), "HTTP 400: parse error"),
        (Fetched(200, b'{"status": "error", "error": "late"}'), "the query failed: late"),
        (Fetched(200, b"<html>"), "not JSON"),
        (Fetched(200, b'{"status": "success"}'), "not a result"),
        (Fetched(200, b"[]"), "not a result"),
        (vector("0", warnings=["store is down"]), "may be partial: store is down"),
        (Fetched(200, b'{"status":"success","data":{"resultType":"string"}}'), "is a string"),
    ],
)
def test_everything_else_is_no_answer(fetched: Fetched, cause: str) -> None:
    """Errors and partial results are named."""
    with pytest.raises(NoReply, match=cause):
        prometheus(fetched)


@given(
    st.lists(st.floats()),
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    st.integers(-1000, 1000),
)
def test_open_means_that_every_number_satisfies_it(
    values: list[float], operator: str, bound: int
) -> None:
    """Checked against Python's own comparison."""
    reply = prometheus(vector(*map(str, values)), f"{operator} {bound}")
    compare = f"value {operator} {bound}"
    numbers = [value for value in values if not math.isnan(value)]
    satisfied = all(eval(compare, {"value": value}) for value in numbers)  # noqa: S307
    assert (reply.answer is OPEN) == bool(values and numbers == values and satisfied)
