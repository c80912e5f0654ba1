"""Gates of a spec become questions; gates that no wave asks are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.model.gate import ExecGate, HttpGate, PrometheusGate
from rollout.model.time import HOUR, MINUTE, SECOND
from tests.specfile import example

GATES = """\
  gates:
    - { http: "https://a/firing", expect: 204, every: 1m, headers: { Authorization: "env:TOKEN" } }
    - { http: "http://127.0.0.1:9/x", query: "status", equals: ok, headers: { X: "file:/run/t" } }
    - { exec: [check, --now], env: [TOKEN], timeout: 1m, waitAtMost: 2h }
    - { prometheus: "https://p", query: up, is: ">= 1.5e3" }
"""


def test_each_kind_becomes_a_question(tmp_path: Path) -> None:
    """Values keep their JSON types; defaults are filled in."""
    found = example.load(tmp_path, example.TEXT + GATES).spec.gates
    alerts, status, check, up = found
    assert alerts == HttpGate(
        url="https://a/firing", expect=204, every_ms=MINUTE, headers={"Authorization": "env:TOKEN"}
    )
    assert isinstance(status, HttpGate) and (status.query, status.equals) == ("status", '"ok"')
    assert check == ExecGate(
        argv=("check", "--now"), env=("TOKEN",), timeout_ms=MINUTE, wait_ms=2 * HOUR
    )
    assert up == PrometheusGate(url="https://p", query="up", wanted=">= 1.5e3")
    assert (up.timeout_ms, up.every_ms, up.wait_ms) == (10 * SECOND, 0, HOUR)


@pytest.mark.parametrize("value,text", [("0", "0"), ("false", "false"), ("1.5", "1.5")])
def test_the_expected_value_may_be_falsy(tmp_path: Path, value: str, text: str) -> None:
    """`equals: 0` and `equals: false` are values, not missing fields."""
    gate = f"  gates: [{{ http: https://a/, query: firing, equals: {value} }}]\n"
    (found,) = example.load(tmp_path, example.TEXT + gate).spec.gates
    assert isinstance(found, HttpGate) and found.equals == text


@pytest.mark.parametrize("canary", ["", "    - { name: canary, size: cover, gate: manual }\n"])
def test_gates_that_no_wave_asks_are_refused(tmp_path: Path, canary: str) -> None:
    """With a single wave, or with manual gates only."""
    text = example.TEXT.replace("    - { name: canary, size: cover }\n", canary) + GATES
    (problem,) = example.problems(tmp_path, text)
    assert problem.code == "R0135"


def test_a_secret_in_a_header_is_not_repeated(tmp_path: Path) -> None:
    """The message names the header only."""
    gate = "  gates: [{ http: https://a/, headers: { Token: planted-secret } }]\n"
    (problem,) = example.problems(tmp_path, example.TEXT + gate)
    assert problem.code == "R0134" and "planted" not in problem.message


def test_a_timeout_is_at_most_a_minute(tmp_path: Path) -> None:
    """A longer one would outlast the time for which an answer counts."""
    gate = "  gates: [{ http: https://a/, timeout: 2m }]\n"
    (problem,) = example.problems(tmp_path, example.TEXT + gate)
    assert problem.code == "R0107" and "at most 1m" in problem.message
