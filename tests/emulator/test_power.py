"""Reboot, start, stop: legal states, locks, dry runs, the walk through the statuses, the ledger."""

import msgspec
import pytest

from rollout.emulator.cloud.switches import Switches
from tests.emulator import fixtures
from tests.emulator.fixtures import NOW, REGION, attach, body, call, observed_one, row


def statuses(switches: Switches) -> list[str]:
    """Return the statuses of one reboot, polled every second."""
    cloud = fixtures.cloud(switches)
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    return [row(cloud, "i-plain-1", NOW + s * 1_000)["Status"] for s in range(6)]


def test_a_reboot_walks_through_stopping_and_starting() -> None:
    """Running, Stopping, Starting, Running: waiting for Running does not prove a reboot."""
    seen = statuses(Switches())
    assert seen == ["Stopping", "Starting", "Starting", "Starting", "Starting", "Running"]


def test_stopping_can_be_hidden() -> None:
    """The service may show Starting at once."""
    assert statuses(Switches(stopping_hidden=True))[0] == "Starting"


def test_running_can_be_stale_after_the_call() -> None:
    """For a while a poll may still say Running although the reboot has begun."""
    seen = statuses(Switches(stale_status_ms=2_000))
    assert seen[:3] == ["Running", "Running", "Starting"]


@pytest.mark.parametrize("moves", [True, False])
def test_start_time_moves_on_reboot_or_not(moves: bool) -> None:  # noqa: FBT001
    """Whether an in-place reboot renews StartTime is unknown, so it is a switch."""
    cloud = fixtures.cloud(Switches(start_time_moves_on_reboot=moves))
    before = row(cloud, "i-plain-1")["StartTime"]
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    assert (row(cloud, "i-plain-1", NOW + 9_000)["StartTime"] != before) is moves


def test_a_start_always_renews_start_time_and_installs_the_key() -> None:
    """A Stopped instance has the attached key in force once it is started."""
    cloud = fixtures.cloud(Switches(start_time_moves_on_reboot=False))
    attach(cloud, "i-stopped")
    call(cloud, "StartInstance", InstanceId="i-stopped")
    assert row(cloud, "i-stopped", NOW + 1)["Status"] == "Starting"
    after = observed_one(cloud, "i-stopped", NOW + 5_000)
    assert (after.status, after.key_in_force, after.boots) == ("Running", fixtures.FRESH, 2)
    assert row(cloud, "i-stopped", NOW + 5_000)["StartTime"] == "2026-02-02T02:40Z"


def test_a_key_attached_during_the_boot_waits_for_the_next() -> None:
    """The boot installs what was recorded when it began; a later attach does not overwrite it."""
    cloud = fixtures.cloud(Switches(attach_transitional=True))
    attach(cloud, "i-plain-1")
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    attach(cloud, "i-plain-1", key=fixtures.FORMER, now=NOW + 1_000)
    late = NOW + 60_000
    attach(cloud, "i-plain-1", key=fixtures.FORMER, now=late)
    seen = observed_one(cloud, "i-plain-1", late)
    assert (seen.key_pair, seen.key_in_force) == (fixtures.FORMER, fixtures.FRESH)


@pytest.mark.parametrize(
    "action, instance, status, code",
    [
        ("RebootInstance", "i-none", 404, "InvalidInstanceId.NotFound"),
        ("RebootInstance", "i-stopped", 403, "IncorrectInstanceStatus"),
        ("RebootInstance", "i-security", 403, "InstanceLockedForSecurity"),
        ("RebootInstance", "i-arrears", 403, "InstanceExpiredOrInArrears"),
        ("StartInstance", "i-plain-1", 403, "IncorrectInstanceStatus"),
        ("StartInstance", "i-arrears", 403, "InstanceExpired"),
        ("StopInstance", "i-stopped", 403, "IncorrectInstanceStatus"),
        ("RebootInstance", "", 400, "MissingInstanceId"),
    ],
)
def test_refusals_of_one_instance(action: str, instance: str, status: int, code: str) -> None:
    """Wrong status, lock and absence refuse the call, and nothing happens."""
    cloud = fixtures.cloud()
    reply = call(cloud, action, InstanceId=instance)
    assert (reply.status, reply.code, len(cloud.ledger)) == (status, code, 0)


def test_a_passing_dry_run_is_an_error_and_has_no_effect() -> None:
    """DryRunOperation says that it would have passed; the real refusals come first."""
    cloud = fixtures.cloud()
    passed = call(cloud, "RebootInstance", InstanceId="i-plain-1", DryRun="True")
    refused = call(cloud, "RebootInstance", InstanceId="i-stopped", DryRun="true")
    assert (passed.status, passed.code) == (400, "DryRunOperation")
    assert refused.code == "IncorrectInstanceStatus"
    assert len(cloud.ledger) == 0


def test_all_together_is_the_default_of_the_batch_actions() -> None:
    """One bad id fails all unless SuccessFirst is asked for."""
    cloud = fixtures.cloud()
    params = {"RegionId": REGION, "InstanceId.1": "i-plain-1", "InstanceId.2": "i-stopped"}
    refused = call(cloud, "RebootInstances", params)
    assert (refused.status, refused.code) == (403, "IncorrectInstanceStatus")
    assert len(cloud.ledger) == 0


def test_success_first_answers_per_instance() -> None:
    """Good ones go, bad ones say why; an unknown id has empty statuses."""
    cloud = fixtures.cloud()
    params = {
        "RegionId": REGION,
        "InstanceId.1": "i-plain-1",
        "InstanceId.2": "i-none",
        "InstanceId.10": "i-stopped",
        "BatchOptimization": "SuccessFirst",
    }
    items = body(call(cloud, "RebootInstances", params))["InstanceResponses"]["InstanceResponse"]
    assert [(i["InstanceId"], i["Code"]) for i in items] == [
        ("i-plain-1", "200"),
        ("i-none", "InvalidInstanceId.NotFound"),
        ("i-stopped", "IncorrectInstanceStatus"),
    ]
    assert (items[0]["PreviousStatus"], items[0]["CurrentStatus"]) == ("Running", "Stopping")
    assert (items[1]["PreviousStatus"], items[1]["CurrentStatus"]) == ("", "")
    assert [entry.instance for entry in cloud.ledger] == ["i-plain-1"]


@pytest.mark.parametrize("charge_type, words", [("PostPaid", "postPaid"), ("PrePaid", "prePaid")])
def test_the_refusal_of_an_expired_instance_depends_on_its_charge_type(
    charge_type: str, words: str
) -> None:
    """InstanceExpired has two printed texts; both the single and the batch action have them."""
    cloud = fixtures.cloud()
    ordinal = cloud.instances.find("i-arrears")
    assert ordinal is not None
    shape = msgspec.structs.replace(cloud.instances.shape_of(ordinal), charge_type=charge_type)
    cloud.instances.set_shape(ordinal, cloud.instances.shapes.add(shape))
    params = {"RegionId": REGION, "InstanceId.1": "i-arrears"}
    single = call(cloud, "StartInstance", InstanceId="i-arrears")
    batch = call(cloud, "StartInstances", {**params, "BatchOptimization": "SuccessFirst"})
    (item,) = body(batch)["InstanceResponses"]["InstanceResponse"]
    texts = {str(single.body["Message"]), item["Message"]}
    assert [text.split()[:3] for text in texts] == [["The", words, "instance"]]


def test_a_dry_run_of_success_first_always_passes() -> None:
    """Documented so, valid ids or not: it is useless as a check."""
    params = {
        "RegionId": REGION,
        "InstanceId.1": "i-none",
        "BatchOptimization": "SuccessFirst",
        "DryRun": "true",
    }
    assert call(fixtures.cloud(), "StartInstances", params).code == "DRYRUN.SUCCESS"
    params["BatchOptimization"] = "AllTogether"
    assert call(fixtures.cloud(), "StartInstances", params).code == "InvalidInstanceId.NotFound"


@pytest.mark.parametrize(
    "params, status, code",
    [
        ({}, 400, "MissingInstanceId"),
        ({"InstanceId.1": "i-a b"}, 403, "Abs.InvalidInstanceIds.MalFormed"),
        ({"InstanceId.1": ""}, 403, "InvalidInstanceId.NotFound"),
        (
            {f"InstanceId.{n}": f"i-{n}" for n in range(1, 102)},
            403,
            "InvalidParameter.TooManyInstanceIds",
        ),
    ],
)
def test_refusals_of_a_batch(params: dict[str, str], status: int, code: str) -> None:
    """No id, an empty id and too many ids have rows of their own."""
    reply = call(fixtures.cloud(), "RebootInstances", {"RegionId": REGION, **params})
    assert (reply.status, reply.code) == (status, code)


def test_the_wrong_name_of_the_force_flag_is_ignored() -> None:
    """ForceStop belongs to RebootInstance, ForceReboot to RebootInstances; unknown ones pass."""
    reply = call(fixtures.cloud(), "RebootInstance", InstanceId="i-plain-1", ForceReboot="true")
    assert reply.status == 200


def test_a_stop_ends_stopped_and_keeps_the_guest() -> None:
    """Running, Stopping, Stopped; the key in force stays what it was."""
    cloud = fixtures.cloud()
    call(cloud, "StopInstance", InstanceId="i-plain-1", StoppedMode="KeepCharging")
    assert row(cloud, "i-plain-1")["Status"] == "Stopping"
    after = row(cloud, "i-plain-1", NOW + 1_000)
    assert (after["Status"], after["StoppedMode"]) == ("Stopped", "KeepCharging")
    assert observed_one(cloud, "i-plain-1", NOW + 1_000).key_in_force == fixtures.FORMER


def test_the_stop_mode_is_returned_until_the_start() -> None:
    """StoppedMode as it was asked for; a start and another stop forget it."""
    cloud = fixtures.cloud()

    def shown(now: int) -> set[str]:
        asked = call(cloud, "DescribeInstanceAttribute", InstanceId="i-plain-1", now=now)
        return {str(asked.body["StoppedMode"]), row(cloud, "i-plain-1", now)["StoppedMode"]}

    assert shown(NOW) == {"Not-applicable"}
    call(cloud, "StopInstance", InstanceId="i-plain-1", StoppedMode="StopCharging")
    assert shown(NOW + 10_000) == {"StopCharging"}
    call(cloud, "StartInstance", InstanceId="i-plain-1", now=NOW + 11_000)
    call(cloud, "StopInstance", InstanceId="i-plain-1", now=NOW + 30_000)
    assert shown(NOW + 40_000) == {"KeepCharging"}


def test_the_ledger_says_what_happened_and_until_when() -> None:
    """One entry per instance, the same request id for all of a call, both instants in UTC ms."""
    cloud = fixtures.cloud()
    reply = attach(cloud, "i-plain-1", "i-plain-2")
    call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 10)
    first, second, reboot = list(cloud.ledger)
    assert first.request_id == second.request_id == reply.request_id
    assert (first.effect, first.at, first.until, first.key_pair) == (
        "attach",
        NOW,
        None,
        fixtures.FRESH,
    )
    assert (reboot.effect, reboot.at, reboot.until, reboot.key_pair) == (
        "reboot",
        NOW + 10,
        NOW + 5_010,
        fixtures.FRESH,
    )
    assert (reboot.region, reboot.instance) == (REGION, "i-plain-1")


def test_boots_can_differ_in_length() -> None:
    """The spread is drawn per instance and boot, and stays within its percent."""
    cloud = fixtures.cloud(Switches(boot_spread_percent=20))
    for number in range(1, 9):
        call(cloud, "RebootInstance", InstanceId=f"i-plain-{number}")
    lengths = {(entry.until or 0) - entry.at for entry in cloud.ledger}
    assert len(lengths) > 4
    assert all(4_000 <= length <= 6_000 for length in lengths)
