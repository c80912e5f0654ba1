"""Which invariants the simulator checks, which hold by other means, and which are to come."""

import re

from rollout.sim.check.checkers import CHECKERS
from tests import tree

LATER = {
    "I-44": "checkpoints",
    "I-45": "signed checkpoints and anchors",
    "I-49": "a journal on several machines",
}
"""What is not built yet, so that nothing can be checked."""

ELSEWHERE = {
    "I-16": (
        "journal/test_writer.py",
        "ecs/test_circuit.py",
        "ecs/test_caller.py",
        "engines/test_local.py",
    ),
    "I-17": ("core/planning/test_chained.py", "app/test_chained.py"),
    "I-36": ("ecs/test_governor.py",),
    "I-46": ("core/running/test_decider.py", "core/running/test_evolve.py"),
    "I-47": ("journal/test_record.py", "journal/test_chain.py"),
    "I-51": ("journal/test_writer.py", "app/test_preflight.py"),
    "I-54": ("engines/test_local.py",),
    "I-56": ("sim/test_determinism.py", "sim/test_shell.py"),
    "I-82": ("core/running/test_last_wave.py", "journal/recheck/test_last_wave.py"),
}
"""What a simulated run cannot break or does not show, and the tests that hold it."""


def test_every_invariant_has_its_checker_or_its_reason() -> None:
    """No invariant of docs/safety.md is forgotten, none is excused in vain."""
    checked = {name for checker in CHECKERS for name in checker.ids if name.startswith("I-")}
    page = (tree.ROOT / "docs" / "safety.md").read_text("utf-8")
    every = set(re.findall(r"^\| (I-\d+) \|", page, re.MULTILINE))

    assert checked | set(LATER) | set(ELSEWHERE) == every
    assert not checked & (set(LATER) | set(ELSEWHERE))
    assert all(
        (tree.ROOT / "tests" / path).is_file() for paths in ELSEWHERE.values() for path in paths
    )


def test_every_number_that_is_cited_is_explained() -> None:
    """Code and tests name invariants and promises by number; docs/safety.md states each, and
    which of them are not built."""
    page = (tree.ROOT / "docs" / "safety.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([IP]-?\d+) \| (.+) \|$", page, re.MULTILINE))
    numbers = {name for checker in CHECKERS for name in checker.ids}
    for path in [*tree.package_modules().values(), *(tree.ROOT / "tests").rglob("*.py")]:
        numbers.update(re.findall(r"\bI-\d\d\b", path.read_text("utf-8")))

    assert numbers <= rows.keys()
    assert {name for name in rows if name.startswith("I-")} <= numbers
    assert {name for name, text in rows.items() if text.startswith("*Not built:*")} == set(LATER)


def test_no_checker_is_there_twice() -> None:
    """Each invariant has one checker, so that a finding names its rule."""
    names = [name for checker in CHECKERS for name in checker.ids]

    assert len(names) == len(set(names))
