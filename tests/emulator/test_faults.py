"""Faults: drawn by content and occurrence, returned as an injection, applied to replies."""

import json

import pytest

from rollout.ecs import contract
from rollout.emulator import faults
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.faults import NO_INJECTION, Damage, Ending, Fault, Injection
from rollout.emulator.fleet import synthetic
from rollout.emulator.http import damage
from rollout.emulator.http.render import Format, Rendered
from rollout.emulator.messages import Reply, Request
from tests.emulator import fixtures
from tests.emulator.fixtures import FRESH, NOW, REGION, attach, body, call, ids, observed_one, row

ATTACH = Request(
    "AttachKeyPair",
    {
        "RegionId": REGION,
        "KeyPairName": FRESH,
        "InstanceIds": ids("i-plain-1", "i-plain-2", "i-plain-3"),
    },
)
PAGE = Request("DescribeInstances", {"RegionId": REGION, "MaxResults": "10"})


def injections(plan: FaultPlan, request: Request, times: int) -> list[Injection]:
    """Return the injections of consecutive equal calls."""
    return [plan.injection(request) for _ in range(times)]


def answered(fault: str, request: Request = ATTACH) -> tuple[Reply, Rendered]:
    """What comes back of a call that meets `fault`, as reply and as bytes."""
    cloud = fixtures.cloud()
    injection = faults.INJECTIONS[fault]
    reply = cloud.handle(request, NOW) if injection.arrivals_ms else None
    reply = damage.answer(cloud, injection, request, reply)
    return reply, damage.to_bytes(injection, reply, request.action, Format.JSON)


def test_without_faults_every_call_is_calm() -> None:
    """Nothing is injected unless asked for."""
    assert FaultPlan().injection(ATTACH) is NO_INJECTION


def test_the_same_seed_gives_the_same_faults() -> None:
    """Equal plans draw the same; another seed draws differently."""
    armed = [Fault("lost_after", 0.5)]
    first = injections(FaultPlan(armed, 7), ATTACH, 64)
    assert first == injections(FaultPlan(armed, 7), ATTACH, 64)
    assert first != injections(FaultPlan(armed, 8), ATTACH, 64)
    assert 16 < sum(injection is not NO_INJECTION for injection in first) < 48


def test_content_counts_and_the_order_of_ids_does_not() -> None:
    """The same ids in another order are the same call, hence its next occurrence."""
    turned = {**ATTACH.params, "InstanceIds": ids("i-plain-3", "i-plain-1", "i-plain-2")}
    armed = [Fault("lost_after", 0.5)]
    one, two = FaultPlan(armed, 7), FaultPlan(armed, 7)
    mixed = [
        one.injection(Request("AttachKeyPair", turned) if n % 2 else ATTACH) for n in range(32)
    ]
    assert mixed == injections(two, ATTACH, 32)


def test_a_repeated_call_is_not_doomed() -> None:
    """The occurrence is part of the draw: retries eventually get a different result."""
    plan = FaultPlan([Fault("throttle", 0.5)], 1)
    assert NO_INJECTION in injections(plan, ATTACH, 16)


def test_actions_limit_a_fault() -> None:
    """A fault applies to the actions it names, and only to those it supports."""
    plan = FaultPlan([Fault("throttle", actions=("RebootInstance",)), Fault("results_missing")])
    assert plan.injection(ATTACH).damage is Damage.RESULTS_MISSING
    assert plan.injection(PAGE) is NO_INJECTION


def test_one_delay_stands_for_the_delay_of_the_fault() -> None:
    """Late effect, slow answer, stale read and retry-after each have one."""
    assert Fault("late_effect", delay_ms=5).injection().arrivals_ms == (5,)
    assert Fault("twice_late", delay_ms=5).injection().arrivals_ms == (0, 5)
    assert Fault("slow", delay_ms=5).injection().answer_after_ms == 5
    assert Fault("stale_describe", delay_ms=5).injection().lag_ms == 5
    assert Fault("throttle", delay_ms=5).injection().retry_after_ms == 5


@pytest.mark.parametrize("fault", sorted(faults.INJECTIONS))
def test_every_fault_can_be_delivered(fault: str) -> None:
    """Each fault leads to a reply or an ending, for every action it applies to."""
    request = PAGE if Fault(fault).applies_to("DescribeInstances") else ATTACH
    reply, rendered = answered(fault, request)
    injection = faults.INJECTIONS[fault]
    assert reply.request_id
    assert rendered.status in {200, 302, 400, 403, 404, 409, 429, 500, 502, 503}
    assert injection.answer_after_ms >= 0


@pytest.mark.parametrize(
    "fault, status, code, header",
    [
        ("throttle", 400, "Throttling", "1000"),
        ("throttle_no_header", 400, "Throttling", None),
        ("throttle_429", 429, "Throttling.User", "1000"),
        ("throttle_503", 503, "Throttling.User", None),
        ("throttle_absurd", 400, "Throttling", "86400000"),
        ("throttle_negative", 400, "Throttling", "-5"),
        ("error_before", 500, "InternalError", None),
        ("error_after", 500, "InternalError", None),
        ("unavailable", 503, "ServiceUnavailable", None),
        ("unknown_error", 400, "UnknownError", None),
        ("conflict", 409, "OperationConflict", None),
        ("token_expired", 400, "InvalidSecurityToken.Expired", None),
        ("unknown_code", 400, "UnheardOf.Code", None),
    ],
)
def test_refusals(fault: str, status: int, code: str, header: str | None) -> None:
    """Code, status and retry-after of the refusing faults, as the caller sees them."""
    reply, rendered = answered(fault)
    assert (rendered.status, reply.code) == (status, code)
    assert rendered.headers.get("x-acs-retry-after") == header
    assert json.loads(rendered.body)["Code"] == code


def test_every_documented_code_can_be_had() -> None:
    """`refused` applies to the actions that document its code, with their status and text."""
    armed = [Fault("refused", code="InstanceNotReady"), Fault("refused", code="LackResource")]
    cloud = fixtures.cloud(faults=FaultPlan(armed))
    started = Request("StartInstance", {"InstanceId": "i-stopped"})
    injection = cloud.faults.injection(started)
    reply = damage.answer(cloud, injection, started, None)
    assert (reply.code, reply.status) == ("InstanceNotReady", 403)
    assert reply.body["Message"] == "The specified instance is not ready for use."
    assert cloud.faults.injection(PAGE) is NO_INJECTION
    for action in contract.ACTIONS.values():
        for row_ in action.errors:
            if row_.edition is not contract.Edition.SEED:
                assert Fault("refused", code=row_.code, actions=(action.name,)).problem() == ""


def test_refusals_with_different_codes_are_drawn_apart() -> None:
    """Else the second of two equally likely ones would never strike."""
    codes = ("InstanceNotReady", "InsufficientBalance")
    plan = FaultPlan([Fault("refused", 0.3, code=code) for code in codes], 1)
    drawn = injections(plan, Request("StartInstance", {"InstanceId": "i-stopped"}), 64)
    assert {injection.code for injection in drawn} == {None, *codes}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("refused"),
        Fault("throttle", code="Throttling.User"),
        Fault("refused", code="NoSuchCode"),
        Fault("refused", code="LackResource", actions=("AttachKeyPair",)),
    ],
)
def test_a_code_must_be_one_that_can_be_had(fault: Fault) -> None:
    """None, one for a fault that has its own, one nobody documents, one of another action."""
    assert fault.problem()


@pytest.mark.parametrize(
    "fault, expected",
    [
        ("results_missing", ["i-plain-2", "i-plain-3"]),
        ("results_doubled", ["i-plain-1", "i-plain-2", "i-plain-3", "i-plain-1"]),
        ("results_extra", ["i-plain-1", "i-plain-2", "i-plain-3", damage.EXTRA_ID]),
    ],
)
def test_results_that_do_not_match_the_ids(fault: str, expected: list[str]) -> None:
    """Missing, doubled and extra items, although the effect is whole."""
    items = json.loads(answered(fault)[1].body)["Results"]["Result"]
    assert [item["InstanceId"] for item in items] == expected


def test_other_damage_to_bodies() -> None:
    """Each damaged body is what it says: not JSON, not whole, not ours, not typed."""
    assert answered("html_502")[1].status == 502
    assert answered("html_200")[1].headers["Content-Type"] == "text/html"
    assert answered("xml_for_json")[1].body.startswith(b"<?xml")
    assert len(answered("huge_body")[1].body) > damage.HUGE_BYTES
    assert json.loads(answered("numbers_as_strings")[1].body)["TotalCount"] == "3"
    assert "Results" not in json.loads(answered("results_absent")[1].body)
    assert json.loads(answered("fail_count_wrong")[1].body)["FailCount"] == 1
    assert "Regions" in json.loads(answered("foreign_reply")[1].body)
    assert answered("empty_body")[1].body == b""
    assert answered("redirect")[1].status == 302


def test_a_token_loop_never_leads_on() -> None:
    """NextToken of the answer is the one of the question."""
    first = json.loads(answered("token_loop", PAGE)[1].body)["NextToken"]
    again = Request("DescribeInstances", {**PAGE.params, "NextToken": first})
    assert json.loads(answered("token_loop", again)[1].body)["NextToken"] == first


def test_pages_can_shift() -> None:
    """The next page begins with rows that were there already: a caller must merge doubles."""
    cloud = fixtures.cloud()
    honest = body(cloud.handle(PAGE, NOW))
    shifted = json.loads(answered("pages_shift", PAGE)[1].body)
    rows_ = honest["Instances"]["Instance"]
    again = call(cloud, "DescribeInstances", {**PAGE.params, "NextToken": shifted["NextToken"]})
    assert (
        body(again)["Instances"]["Instance"][: damage.SHIFTED_ROWS]
        == (rows_[-damage.SHIFTED_ROWS :])
    )


def test_a_request_id_can_be_missing() -> None:
    """Then a support request has no request id; nothing else changes."""
    assert "RequestId" not in json.loads(answered("request_id_missing")[1].body)


def test_where_the_caller_is_left_alone() -> None:
    """Lost before and after, hanging and cut: endings without a whole answer."""
    endings = {name: c.ending for name, c in faults.INJECTIONS.items() if c.ending != Ending.ANSWER}
    assert endings == {
        "lost_before": Ending.CLOSE,
        "timeout_before": Ending.HANG,
        "lost_after": Ending.CLOSE,
        "timeout_after": Ending.HANG,
        "late_effect": Ending.CLOSE,
        "cut_body": Ending.CUT,
    }


@pytest.mark.parametrize(
    "fault, action, instance, status, key_in_force, boots",
    [
        ("boot_stuck_starting", "RebootInstance", "i-plain-1", "Starting", fixtures.FORMER, 1),
        ("boot_stuck_stopping", "RebootInstance", "i-plain-1", "Stopping", fixtures.FORMER, 1),
        ("reboot_ends_stopped", "RebootInstance", "i-plain-1", "Stopped", fixtures.FORMER, 1),
        ("key_never_installed", "RebootInstance", "i-plain-1", "Running", fixtures.FORMER, 2),
        ("boot_stuck_starting", "StartInstance", "i-stopped", "Starting", fixtures.FORMER, 1),
    ],
)
def test_facts_of_an_instance(
    fault: str, action: str, instance: str, status: str, key_in_force: str, boots: int
) -> None:
    """A boot that fails, and a guest that never installs the key, are drawn per instance."""
    cloud = fixtures.cloud(faults=FaultPlan([Fault(fault)]))
    attach(cloud, instance)
    call(cloud, action, InstanceId=instance)
    seen = observed_one(cloud, instance, NOW + 3_600_000)
    assert (seen.status, seen.key_in_force, seen.boots) == (status, key_in_force, boots)
    entry = list(cloud.ledger)[-1]
    assert (entry.until is None) is (fault != "key_never_installed")


@pytest.mark.parametrize(
    "fault, action, instance, code",
    [
        ("no_stock", "StartInstance", "i-stopped", "OperationDenied.NoStock"),
        ("disk_error", "RebootInstance", "i-plain-1", "DiskError"),
    ],
)
def test_facts_that_refuse(fault: str, action: str, instance: str, code: str) -> None:
    """No stock at start, and a broken disk."""
    cloud = fixtures.cloud(faults=FaultPlan([Fault(fault)]))
    assert call(cloud, action, InstanceId=instance).code == code


def test_a_former_key_can_stay_accepted() -> None:
    """A boot that appends leaves the former key in the guest: only a probe finds that."""
    cloud = fixtures.cloud(faults=FaultPlan([Fault("former_key_kept")]))
    attach(cloud, "i-plain-1")
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    ordinal = cloud.instances.find("i-plain-1")
    assert ordinal is not None
    names = [cloud.pairs.all[n].name for n in cloud.instances.keys_in_force(ordinal, NOW + 9_000)]
    assert names == [fixtures.FRESH, fixtures.FORMER]


def test_a_boot_that_rewrites_ends_the_former_keys() -> None:
    """Kept by one boot, gone by the next, once the cloud rewrites authorized_keys again."""
    cloud = fixtures.cloud(Switches(boot_keeps_former_keys=True))
    ordinal = cloud.instances.find("i-plain-1")
    assert ordinal is not None
    attach(cloud, "i-plain-1")
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    kept = cloud.instances.keys_in_force(ordinal, NOW + 9_000)
    cloud.switch(Switches())
    call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 10_000)
    assert (len(kept), len(cloud.instances.keys_in_force(ordinal, NOW + 19_000))) == (2, 1)


def test_an_image_may_never_install_a_key() -> None:
    """Every instance of it, and none of another."""
    cloud = fixtures.cloud(Switches(images_without_keys=(synthetic.LINUX_IMAGES[0].image_id,)))
    attach(cloud, "i-plain-1")
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    seen = observed_one(cloud, "i-plain-1", NOW + 9_000)
    assert (seen.key_pair, seen.key_in_force, seen.boots) == (FRESH, fixtures.FORMER, 2)
    cloud.switch(Switches(images_without_keys=("another",)))
    call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 10_000)
    assert observed_one(cloud, "i-plain-1", NOW + 19_000).key_in_force == FRESH


def test_a_stale_read_returns_the_past() -> None:
    """An armed stale read makes the cloud keep what was, and the lag of the request shows it."""
    cloud = fixtures.cloud(faults=FaultPlan([Fault("stale_describe", delay_ms=30_000)]))
    attach(cloud, "i-plain-1")
    asked = Request(
        "DescribeInstances", {"RegionId": REGION, "InstanceIds": ids("i-plain-1")}, lag_ms=30_000
    )
    (stale,) = body(cloud.handle(asked, NOW + 29_000))["Instances"]["Instance"]
    assert stale["KeyPairName"] == fixtures.FORMER
    assert row(cloud, "i-plain-1", NOW + 29_000)["KeyPairName"] == fixtures.FRESH
