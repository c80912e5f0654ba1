"""Rows are cached between calls, and a cached row equals a new one."""

from hypothesis import given
from hypothesis import strategies as st

from rollout.emulator.cloud.lifecycle import BaseStatus, OperationLock
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from tests.emulator import fixtures
from tests.emulator.fixtures import FORMER, FRESH, NOW, attach, call

NAMES = ("i-plain-1", "i-plain-2", "i-stopped", "i-windows", "i-security")

hands = st.sampled_from(["attach", "former", "reboot", "start", "stop", "put", "lock", "shape"])
steps = st.lists(st.tuples(hands, st.sampled_from(NAMES), st.integers(0, 4_000)), max_size=12)
lags = st.sampled_from([0, 0, 2_000])


def change(cloud: Cloud, hand: str, name: str, now: int) -> None:
    """One call, or another hand, on one instance."""
    instances = cloud.instances
    ordinal = instances.ids.ordinal_of(name)
    assert ordinal is not None
    if hand in {"attach", "former"}:
        attach(cloud, name, now=now, key=FRESH if hand == "attach" else FORMER)
    elif hand == "put":
        instances.put(ordinal, BaseStatus.STOPPED, now)
    elif hand == "lock":
        instances.set_lock(
            ordinal, OperationLock.NONE if instances.lock[ordinal] else OperationLock.FINANCIAL
        )
    elif hand == "shape":
        instances.set_shape(ordinal, instances.shape[0])
    else:
        call(cloud, f"{hand.title()}Instance", {"InstanceId": name}, now=now)


@given(steps, lags, st.sampled_from([0, 3_000]))
def test_a_cached_row_equals_a_new_one(
    steps: list[tuple[str, str, int]], lag_ms: int, stale_ms: int
) -> None:
    """After any calls, external changes and lags, no reply contains an outdated row."""
    cloud = fixtures.cloud(Switches(describe_lag_ms=lag_ms, stale_status_ms=stale_ms))
    ordinals = [o for o in map(cloud.instances.ids.ordinal_of, NAMES) if o is not None]
    now = NOW
    for hand, name, pause_ms in steps:
        change(cloud, hand, name, now)
        now += pause_ms
        for seen_ms in (lag_ms, 0):
            shown = cloud.rows.render(ordinals, now, seen_ms)
            cloud.instances.rendered.clear()
            assert list(shown) == list(cloud.rows.render(ordinals, now, seen_ms))
