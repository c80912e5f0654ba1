"""The circuit breaker and the retry budget, on given instants."""

import pytest

from rollout.ecs import breaker
from rollout.ecs.breaker import Admission, Breaker, RetryBudget
from rollout.model.outcome import Done, Outcome, Refused, RetryClass, Unknown
from rollout.model.time import MINUTE, Instant

NOW: Instant = 1_767_323_040_000
STORM = Unknown("http_502")


def refused(retry: RetryClass) -> Refused:
    """A refusal of a class."""
    return Refused("Code", retry)


def noted(*outcomes: Outcome) -> Breaker:
    """A breaker that has recorded these outcomes."""
    circuit = Breaker()
    for outcome in outcomes:
        circuit.note(outcome, NOW)
    return circuit


@pytest.mark.parametrize(
    "outcomes, reason",
    [
        ([refused(RetryClass.DENIED)], "denied"),
        ([Done()] * 50 + [refused(RetryClass.DENIED)], "denied"),
        ([refused(RetryClass.CLOCK)], "clock"),
        ([STORM] * 11 + [Done()] * 9, "storm"),
        ([Done()] * 9 + [STORM] * 11, "storm"),
        ([STORM] * 10 + [Done()] * 10, ""),
        ([STORM] * 19, ""),
        ([Unknown("timeout")] * 40, ""),
        ([refused(RetryClass.UNSENT)] * 40, ""),
        ([refused(RetryClass.THROTTLED)] * 40, ""),
        ([refused(RetryClass.FACT)] * 40, ""),
        ([refused(RetryClass.UNSENT)] * 40 + [STORM] * 20, "storm"),
    ],
)
def test_it_opens_on_what_repeats_cannot_cure(outcomes: list[Outcome], reason: str) -> None:
    """One refusal of keys or clock, or more than half of twenty calls failed in the service."""
    circuit = noted(*outcomes)
    assert circuit.reason == reason
    assert circuit.admit(NOW) is (Admission.STOP if reason else Admission.GO)


@pytest.mark.parametrize(
    "why, failed",
    [
        ("http_500", True),
        ("http_503", True),
        ("InternalError", True),
        ("ServiceUnavailable.RegionMaintaining", True),
        ("UnknownError", True),
        ("timeout", False),
        ("proxy_or_gateway", False),
        ("accepted_unproven", False),
        ("SignatureNonceUsed", False),
    ],
)
def test_only_the_service_itself_makes_a_storm(why: str, *, failed: bool) -> None:
    """A lost line or a proxy is no failure of the service."""
    assert breaker.is_service_failure(Unknown(why)) is failed


def test_after_the_pause_one_asker_probes() -> None:
    """Half open: exactly one probe at a time, everybody else is stopped."""
    circuit = noted(refused(RetryClass.DENIED))
    later = NOW + breaker.OPEN_MS
    assert circuit.admit(later - 1) is Admission.STOP
    assert circuit.left_ms(later - 1) == 1
    assert circuit.admit(later) is Admission.PROBE
    assert circuit.admit(later) is Admission.STOP
    assert circuit.left_ms(later + 1) == 0


@pytest.mark.parametrize(
    "outcome",
    [
        Done(),
        refused(RetryClass.FACT),
        refused(RetryClass.THROTTLED),
        refused(RetryClass.DENIED),
    ],
)
def test_a_sound_probe_closes(outcome: Outcome) -> None:
    """After a storm any reply of the service is sound, even a denial: the caller may lack
    permission for the action that probes. The old sample is forgotten."""
    circuit = noted(*[STORM] * 20)
    later = NOW + breaker.OPEN_MS
    assert circuit.admit(later) is Admission.PROBE
    circuit.probed(outcome, later)
    assert circuit.reason == ""
    assert circuit.admit(later) is Admission.GO
    circuit.note(STORM, later)
    assert circuit.admit(later) is Admission.GO


@pytest.mark.parametrize(
    "outcome",
    [
        Unknown("timeout"),
        STORM,
        refused(RetryClass.DENIED),
        refused(RetryClass.CLOCK),
        refused(RetryClass.UNSENT),
    ],
)
def test_a_failed_probe_waits_again(outcome: Outcome) -> None:
    """A lost probe closes nothing: the pause starts again and ends with another probe."""
    circuit = noted(refused(RetryClass.DENIED))
    later = NOW + breaker.OPEN_MS
    assert circuit.admit(later) is Admission.PROBE
    circuit.probed(outcome, later)
    assert circuit.admit(later + breaker.OPEN_MS - 1) is Admission.STOP
    assert circuit.admit(later + breaker.OPEN_MS) is Admission.PROBE


def test_repeats_are_a_tenth_and_a_floor() -> None:
    """Five repeats a minute always, and one for every ten calls."""
    budget = RetryBudget()
    assert [budget.take(NOW) for _ in range(6)] == [True] * 5 + [False]
    for _ in range(30):
        budget.note_call(NOW)
    assert [budget.take(NOW) for _ in range(4)] == [True] * 3 + [False]


def test_each_minute_has_its_own_repeats() -> None:
    """Nothing is saved up."""
    budget = RetryBudget()
    for _ in range(1000):
        budget.note_call(NOW)
    assert [budget.take(NOW + MINUTE) for _ in range(6)] == [True] * 5 + [False]
