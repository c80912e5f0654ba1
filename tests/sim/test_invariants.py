"""Which invariants the simulator checks, which hold by other means, and which are to come."""

from rollout.sim.checkers import CHECKERS

LATER = {
    "I-17": "chained rotations need the proofs of earlier runs in the plan",
    "I-32": "the rate budget",
    "I-34": "gates",
    "I-35": "bake",
    "I-39": "maintenance windows",
    "I-44": "checkpoints",
    "I-45": "signed checkpoints and anchors",
    "I-48": "leases between machines",
    "I-49": "a journal on several machines",
}
"""What is not built yet, so that nothing can be checked."""

ELSEWHERE = {
    "I-16": "tests of journal (poison), client (breaker, credentials) and lock",
    "I-36": "tests of the governor",
    "I-54": "tests of the local engine",
    "I-56": "test_determinism",
}
"""What a driver on a heap cannot break, or what these tests check beside the seeds."""


def test_every_invariant_has_its_checker_or_its_reason() -> None:
    """None of the 59 invariants of the safety contract is forgotten, none is excused in vain."""
    checked = {name for checker in CHECKERS for name in checker.ids if name.startswith("I-")}
    every = {f"I-{number:02}" for number in range(1, 60)}

    assert checked | set(LATER) | set(ELSEWHERE) == every
    assert not checked & (set(LATER) | set(ELSEWHERE))


def test_no_checker_is_there_twice() -> None:
    """Each invariant has one checker, so that a finding names its rule."""
    names = [name for checker in CHECKERS for name in checker.ids]

    assert len(names) == len(set(names))
