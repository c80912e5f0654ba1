"""The planner as a whole: the same inputs, the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from rollout.core.planning import planner
from rollout.errors import PlanError
from rollout.model import plan as plans
from rollout.model.instance import OsFamily, Proof, Status
from rollout.model.plan import Identity, public_key_digest
from rollout.model.spec import (
    Amount,
    Budget,
    Calls,
    Limits,
    OnUnknown,
    Restart,
    WaveKind,
    WaveSpec,
)
from rollout.model.time import SECOND
from tests import tree
from tests.core import samples

PRINT = """
from tests.core import samples
from rollout.model import plan
print(plan.digest(plan.encode(samples.make_plan(samples.fleet(120, regions=2)))))
"""


PINNED = "sha256:2c546c63b0babee68a3459a1baa70b0c1234b8b857bf412786c5994b1f18e93f"
"""Made by the planner that took one step after the other; its estimate since reckons by region."""


def test_the_same_inputs_give_the_same_bytes_under_any_hash_seed() -> None:
    """Two processes with other hash seeds make byte-identical plans."""
    found = {
        subprocess.run(
            [sys.executable, "-c", PRINT],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=tree.ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    here = plans.digest(plans.encode(samples.make_plan(samples.fleet(120, regions=2))))
    assert found == {f"{here}\n"}


def test_the_bytes_of_a_plan_do_not_change_unnoticed() -> None:
    """A mixed fleet of several pages in three waves: a faster planner makes the very same plan."""
    rows = samples.fleet(1_500, regions=2)
    changes: list[dict[str, object]] = [
        {"os": OsFamily.WINDOWS},
        {"status": Status.STOPPED},
        {"key_pair": ""},
        {"image": "m-2", "tags": (("tier", "web"),)},
        {"locks": ("financial",)},
    ]
    for number, change in enumerate(changes):
        for at in range(number, len(rows), 11 + number):
            rows[at] = msgspec.structs.replace(rows[at], **change)
    rows.sort(key=lambda one: (one.region, one.id))
    waves = (samples.CANARY, WaveSpec("cover", WaveKind.COVER), *samples.REST)
    raw = plans.encode(samples.make_plan(rows, samples.spec(waves=waves)))

    assert plans.digest(raw) == PINNED


def test_a_plan_comes_back_from_its_bytes() -> None:
    """Canonical bytes are the plan."""
    plan = samples.make_plan(samples.fleet(10))

    assert plans.decode(plans.encode(plan)) == plan


def test_counts_sum_up_to_the_inventory() -> None:
    """Found is targets plus excluded, by reason."""
    rows = samples.fleet(10)
    rows += [samples.instance(20, os=OsFamily.WINDOWS), samples.instance(21, key_pair="")]
    counts = samples.make_plan(rows).counts

    assert (counts.found, counts.targets) == (12, 10)
    assert counts.excluded == {"windows": 1, "password_only": 1}


def test_more_targets_than_the_spec_allows_are_refused() -> None:
    """`maxInstances` stops a plan that grew too large."""
    with pytest.raises(PlanError) as caught:
        samples.make_plan(samples.fleet(3), samples.spec(limits=Limits(instances_max=2)))

    assert caught.value.problems[0].code == "R0313"


def test_proofs_make_a_second_plan_smaller() -> None:
    """What an earlier run proved is not rotated again."""
    rows = samples.fleet(4, key_pair=samples.NEW_KEY)
    proof = Proof(samples.NEW_KEY, public_key_digest(samples.PUBLIC_KEY), "run-0")
    plan = samples.make_plan(rows, proofs={rows[0].id: proof})

    assert plan.counts.excluded == {"already_done": 1}


def test_a_proof_of_other_material_proves_nothing() -> None:
    """A key of the same name with other material was not rotated to."""
    rows = samples.fleet(2, key_pair=samples.NEW_KEY)
    proof = Proof(samples.NEW_KEY, public_key_digest("ssh-ed25519 other"), "run-0")

    assert samples.make_plan(rows, proofs={rows[0].id: proof}).counts.targets == 2


def test_warnings_say_what_will_surprise() -> None:
    """Started, keyless, one by one, imported, in doubt twice: each is reported with its count."""
    rows = [samples.instance(0, status=Status.STOPPED), samples.instance(1, key_pair="")]
    rows += [samples.instance(2)]
    wanted = samples.capped(1, allow_password_loss=True, on_unknown=OnUnknown.RETRY_ONCE)
    plan = samples.make_plan(rows, wanted, present=False)

    told = {warning.code: warning.count for warning in plan.warnings}
    assert told == {"R0302": 1, "R0303": 1, "R0308": 2, "R0309": 1, "R0307": 3}


def test_targets_that_have_the_key_already_are_counted_in_a_warning() -> None:
    """Without proofs, as in another runs directory, a finished fleet would be restarted again."""
    rows = [*samples.fleet(3, key_pair=samples.NEW_KEY), samples.instance(3)]
    proof = Proof(samples.NEW_KEY, public_key_digest(samples.PUBLIC_KEY), "run-0")

    warned = samples.make_plan(rows, proofs={rows[0].id: proof}).warnings

    assert [(one.code, one.count) for one in warned] == [("R0315", 2)]
    assert "has no proof of a later boot" in warned[0].text


def test_the_estimate_is_arithmetic() -> None:
    """Ten reboots, two at a time, of 20 seconds each: five rounds and the calls they take."""
    plan = samples.make_plan(samples.fleet(10), samples.capped(2))

    assert plan.estimate.duration_ms == 100 * SECOND
    assert plan.estimate.calls["RebootInstance"] == 10
    assert plan.estimate.calls["AttachKeyPair"] == 5


@pytest.mark.parametrize(
    "calls, emulator, seconds",
    [(Calls.SINGLE, False, 90), (Calls.BATCH, False, 20), (Calls.SINGLE, True, 20)],
)
def test_the_estimate_knows_that_a_quota_is_of_one_action_in_one_region(
    calls: Calls, seconds: int, *, emulator: bool
) -> None:
    """450 reboots in each of two regions at 300 a minute take 90 seconds side by side; as five
    calls each, or on an emulator, nothing is longer than the one boot of 20 seconds.
    """
    rows = samples.fleet(900, regions=2)
    wanted = samples.spec(
        budgets=(Budget("fleet", Amount(count=900)),), restart=Restart(calls=calls)
    )
    identity = Identity(samples.ACCOUNT, "acs:ram::1:user/ops", "env", emulator=emulator)
    context = planner.PlanContext("rollout test", (identity,), boot_time_ms=20 * SECOND)

    plan = planner.make_plan(wanted, samples.inventory(rows), {}, samples.NOW, context)

    assert plan.estimate.duration_ms == seconds * SECOND
