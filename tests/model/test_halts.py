"""The table of halts: words of the journal, codes and exit codes are a public contract."""

from __future__ import annotations

import ast

from rollout.model.halts import HaltReason, halted
from tests import tree

TABLE = {
    "denied": ("R0403", 4),
    "clock": ("R0404", 4),
    "in_doubt": ("R0501", 5),
    "input": ("R0502", 5),
    "unknown_code": ("R0502", 5),
    "protocol_anomaly": ("R0502", 5),
    "unreachable": ("R0503", 5),
    "failures": ("R0504", 5),
    "paused": ("R0509", 5),
    "gate": ("R0508", 5),
    "gate_shut": ("R0522", 5),
    "login": ("R0528", 5),
    "last_wave": ("R0616", 5),
    "window": ("R0526", 5),
    "windows_over": ("R0527", 5),
    "foreign_key": ("R0605", 6),
    "key_pair": ("R0606", 6),
    "drift": ("R0607", 6),
    "elsewhere": ("R0610", 6),
    "lease": ("R0619", 6),
    "mark": ("R0620", 6),
    "disk": ("R0801", 74),
    "lost": ("R0906", 9),
}


def test_each_reason_has_its_word_code_and_exit_code() -> None:
    """Scripts and journals rely on these: a change here is a change of the contract."""
    events = [halted(reason) for reason in HaltReason]

    assert {event.reason: (event.code, event.exit) for event in events} == TABLE
    assert all(event.detail for event in events)


def test_only_the_table_makes_halts() -> None:
    """No other module constructs `Halted`, so that no code or exit code is written twice."""
    sources = sorted((tree.ROOT / "rollout").rglob("*.py"))
    makers = {
        path.relative_to(tree.ROOT).as_posix()
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Halted"
    }

    assert makers == {"rollout/model/halts.py"}
