"""Promises checked against the emulator's hidden ledger."""

from __future__ import annotations

import pytest

from rollout.app import demo
from rollout.app.demo import EffectLine, InstanceLine
from tests.app import factory

PLAN = factory.plan()
TARGETS = list(PLAN.targets())
KEY = PLAN.keys[0].name


def effects() -> list[EffectLine]:
    """Every target attached in calls of 4 and restarted one after the other."""
    attached = [
        EffectLine(0, "attach", instance=one.instance, key_pair=KEY, request_id=f"call-{n // 4}")
        for n, one in enumerate(TARGETS)
    ]
    restarted = [
        EffectLine(10 * n, one.restart.value, instance=one.instance, until=10 * n + 10)
        for n, one in enumerate(TARGETS)
    ]
    return attached + restarted


def instances() -> list[InstanceLine]:
    """Every target with the new key in force, and one Windows instance."""
    return [
        *(InstanceLine(one.instance, "linux", KEY) for one in TARGETS),
        InstanceLine("i-0000", "windows", None),
    ]


def broken(effects_: list[EffectLine], instances_: list[InstanceLine]) -> list[str]:
    """The promises that do not hold."""
    return [str(one.text) for one in demo.judge(PLAN, effects_, instances_) if not one.holds]


def test_a_clean_rotation_keeps_every_promise() -> None:
    """A correct rotation has no findings."""
    assert broken(effects(), instances()) == []


FIRST = TARGETS[0].instance
REBOOTED = [one.instance for one in TARGETS if one.restart.value == "reboot"]


@pytest.mark.parametrize(
    "more,said",
    [
        ([EffectLine(0, "attach", instance="i-0000")], "1 Windows instances attached"),
        ([EffectLine(0, "reboot", instance=FIRST, until=1)], "1 instances restarted twice"),
        (
            [EffectLine(0, "attach", instance=f"i-x{n}", request_id="big") for n in range(51)],
            "at most 51 ids",
        ),
        ([EffectLine(0, "start", instance="i-stranger")], "1 instances changed"),
        (
            [EffectLine(100, "reboot", instance=one, until=200) for one in REBOOTED[:5]],
            "down at once, of 4 allowed",
        ),
    ],
)
def test_a_broken_promise_is_found(more: list[EffectLine], said: str) -> None:
    """Each kind of violation has a message."""
    assert any(said in text for text in broken(effects() + more, instances()))


def test_a_key_that_is_not_in_force_is_found() -> None:
    """An attach and a restart are not enough: the key must be in force."""
    late = [InstanceLine(FIRST, "linux", "ops-old"), *instances()[1:]]

    (said,) = broken(effects(), late)
    assert said == f"{len(TARGETS) - 1} of {len(TARGETS)} targets have the key in force"


def test_one_that_never_came_back_stays_down() -> None:
    """A restart without an end counts as down from its start."""
    stuck = [EffectLine(0, "reboot", until=None), EffectLine(5, "reboot", until=6)]

    assert demo.most_down(stuck) == 2


def test_one_after_the_other_is_one_at_a_time() -> None:
    """A restart that starts when another ends does not overlap it."""
    assert demo.most_down([EffectLine(0, "reboot", until=5), EffectLine(5, "reboot", until=9)]) == 1
