"""AttachKeyPair and DetachKeyPair: today's single results, and the old page's whole refusals."""

import json

import pytest

from rollout.ecs.contract import Edition
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.http.render import Format, body_bytes
from tests.emulator import fixtures
from tests.emulator.fixtures import (
    FORMER,
    FRESH,
    NOW,
    REGION,
    attach,
    body,
    call,
    ids,
    observed_one,
    row,
)

SEED = Switches(edition=Edition.SEED)


def test_the_record_changes_at_once_and_the_guest_at_its_boot() -> None:
    """KeyPairName never proves that a key works: the guest keeps the former one until it boots."""
    cloud = fixtures.cloud()
    attach(cloud, "i-plain-1")
    assert row(cloud, "i-plain-1")["KeyPairName"] == FRESH
    assert observed_one(cloud, "i-plain-1").key_in_force == FORMER
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    assert observed_one(cloud, "i-plain-1", NOW + 4_999).key_in_force == FORMER
    assert observed_one(cloud, "i-plain-1", NOW + 5_000).key_in_force == FRESH


def test_results_name_each_instance_under_http_200() -> None:
    """One bad instance does not keep the others out; each is judged by its own code."""
    cloud = fixtures.cloud()
    reply = attach(cloud, "i-plain-1", "i-windows", "i-old", "i-none", "i-stopped")
    answer = body(reply)
    items = {item["InstanceId"]: item for item in answer["Results"]["Result"]}
    assert (reply.status, answer["TotalCount"], answer["FailCount"]) == (200, 5, 3)
    assert {name: item["Code"] for name, item in items.items()} == {
        "i-plain-1": "200",
        "i-windows": "DependencyViolation.WindowsInstance",
        "i-old": "DependencyViolation.IoOptimize",
        "i-none": "InvalidInstanceId.NotFound",
        "i-stopped": "200",
    }
    assert items["i-plain-1"] == {
        "InstanceId": "i-plain-1",
        "Code": "200",
        "Message": "successful",
        "Success": True,
    }
    assert items["i-windows"]["Message"] == (
        "The instance creating is windows, cannot use ssh key pair to login"
    )
    assert [entry.instance for entry in cloud.ledger] == ["i-plain-1", "i-stopped"]


def test_a_transitional_instance_is_refused_in_its_item() -> None:
    """Documented usage is Running and Stopped; in between the item says IncorrectInstanceStatus."""
    cloud = fixtures.cloud()
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    item = body(attach(cloud, "i-plain-1", now=NOW + 1))["Results"]["Result"][0]
    assert (item["Code"], item["Success"]) == ("IncorrectInstanceStatus", False)


@pytest.mark.parametrize(
    "params, status, code",
    [
        ({}, 400, "MissingRegionId"),
        ({"RegionId": "xx-nowhere-1"}, 404, "InvalidRegionId.NotFound"),
        ({"RegionId": REGION}, 400, "MissingKeyPairName"),
        ({"RegionId": REGION, "KeyPairName": "k"}, 400, "MissingInstanceIds"),
        (
            {"RegionId": REGION, "KeyPairName": "k", "InstanceIds": "i-1"},
            400,
            "InvalidInstanceIds.ValueNotSupported",
        ),
        (
            {"RegionId": REGION, "KeyPairName": "k", "InstanceIds": "[]"},
            400,
            "InvalidInstanceIds.ValueNotSupported",
        ),
        (
            {"RegionId": REGION, "KeyPairName": "k", "InstanceIds": ids("i-plain-1")},
            400,
            "InvalidKeyPairName.NotFound",
        ),
        (
            {
                "RegionId": REGION,
                "KeyPairName": FRESH,
                "InstanceIds": ids(*(f"i-{n}" for n in range(51))),
            },
            403,
            "InstanceKeyPairLimitExceeded",
        ),
    ],
)
def test_faults_of_the_whole_request(params: dict[str, str], status: int, code: str) -> None:
    """What is wrong with the request refuses all of it, with nothing attached."""
    cloud = fixtures.cloud()
    reply = call(cloud, "AttachKeyPair", params)
    assert (reply.status, reply.code) == (status, code)
    assert len(cloud.ledger) == 0


def test_white_space_in_the_array_and_doubled_ids_are_accepted() -> None:
    """The page prints its array with spaces; a doubled id is one instance and one effect."""
    cloud = fixtures.cloud()
    reply = call(
        cloud,
        "AttachKeyPair",
        RegionId=REGION,
        KeyPairName=FRESH,
        InstanceIds='[ "i-plain-1" , "i-plain-2", "i-plain-1" ]',
    )
    assert body(reply)["TotalCount"] == 2
    assert len(cloud.ledger) == 2


def test_attaching_again_succeeds_unless_switched() -> None:
    """A repeat converges to the same record; what the real service says is a switch."""
    cloud = fixtures.cloud()
    attach(cloud, "i-plain-1")
    assert body(attach(cloud, "i-plain-1"))["FailCount"] == 0
    strict = fixtures.cloud(Switches(attach_again_refused=True))
    attach(strict, "i-plain-1")
    assert body(attach(strict, "i-plain-1"))["FailCount"] == 1


def test_one_windows_id_can_refuse_the_whole_call() -> None:
    """The switch that nobody has settled on a real account: item or whole batch."""
    cloud = fixtures.cloud(Switches(windows_refuses_batch=True))
    reply = attach(cloud, "i-plain-1", "i-windows")
    assert (reply.status, reply.code) == (403, "DependencyViolation.WindowsInstance")
    assert len(cloud.ledger) == 0


def test_one_unknown_id_can_refuse_the_whole_call() -> None:
    """Or be an item of its own, which is the default."""
    strict = fixtures.cloud(Switches(unknown_id_refuses_batch=True))
    reply = attach(strict, "i-plain-1", "i-none")
    assert (reply.status, reply.code) == (404, "InvalidInstanceId.NotFound")
    assert len(strict.ledger) == 0
    assert body(attach(fixtures.cloud(), "i-plain-1", "i-none"))["FailCount"] == 1


@pytest.mark.parametrize(
    "instance, switches, code",
    [
        ("i-security", Switches(), "200"),
        ("i-security", Switches(attach_locked=False), "InstanceLockedForSecurity"),
        (
            "i-security",
            Switches(attach_locked=False, attach_lock_code="OperationConflict"),
            "OperationConflict",
        ),
        ("i-plain-1", Switches(), "IncorrectInstanceStatus"),
        (
            "i-plain-1",
            Switches(attach_state_code="InvalidInstanceIds.ValueNotSupported"),
            "InvalidInstanceIds.ValueNotSupported",
        ),
    ],
)
def test_the_code_of_a_locked_or_moving_instance_is_a_switch(
    instance: str, switches: Switches, code: str
) -> None:
    """Nobody knows which the real service gives: a caller must live with each."""
    cloud = fixtures.cloud(switches)
    if instance == "i-plain-1":
        call(cloud, "RebootInstance", InstanceId=instance)
    (item,) = body(attach(cloud, instance))["Results"]["Result"]
    assert item["Code"] == code


def test_a_switched_code_must_be_documented() -> None:
    """A made-up one would have no text."""
    with pytest.raises(ValueError, match="no code Teapot"):
        Switches(attach_state_code="Teapot")


def test_numbers_can_come_as_strings() -> None:
    """Declared types are all string: a caller must read both."""
    answer = body(attach(fixtures.cloud(Switches(loose_types=True)), "i-plain-1"))
    assert (answer["TotalCount"], answer["FailCount"]) == ("1", "0")
    assert answer["Results"]["Result"][0]["Success"] == "true"


def test_detach_gives_password_login_back_at_the_next_boot() -> None:
    """The record is empty at once; the guest loses its key when it boots."""
    cloud = fixtures.cloud()
    call(
        cloud,
        "DetachKeyPair",
        RegionId=REGION,
        KeyPairName=FORMER,
        InstanceIds=ids("i-plain-1"),
    )
    assert "KeyPairName" not in row(cloud, "i-plain-1")
    assert observed_one(cloud, "i-plain-1").key_in_force == FORMER
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    assert observed_one(cloud, "i-plain-1", NOW + 9_000).key_in_force is None


def test_detaching_another_key_pair_changes_nothing() -> None:
    """Only the named key pair is taken off."""
    cloud = fixtures.cloud()
    call(cloud, "DetachKeyPair", RegionId=REGION, KeyPairName=FRESH, InstanceIds=ids("i-plain-1"))
    assert row(cloud, "i-plain-1")["KeyPairName"] == FORMER
    assert len(cloud.ledger) == 0


def test_the_old_page_refuses_all_for_one_windows_instance() -> None:
    """Its body has no place for single results: 403, nothing attached, and the old wording."""
    cloud = fixtures.cloud(SEED)
    reply = attach(cloud, "i-plain-1", "i-windows")
    assert (reply.status, reply.code) == (403, "DependencyViolation.WindowsInstance")
    assert reply.body["Message"] == (
        "The instance creating this window, cannot use ssh key pair to login."
    )
    assert len(cloud.ledger) == 0


def test_the_old_page_checks_in_this_order() -> None:
    """RegionId, then its existence, then the others, then key pair, instance, Windows."""
    cloud = fixtures.cloud(SEED)
    everything = {"RegionId": REGION, "KeyPairName": "no", "InstanceIds": ids("i-no", "i-windows")}
    codes = [
        call(cloud, "AttachKeyPair", params).code
        for params in (
            {**everything, "RegionId": ""},
            {**everything, "RegionId": "xx"},
            {**everything, "KeyPairName": ""},
            everything,
            {**everything, "KeyPairName": FRESH},
            {**everything, "KeyPairName": FRESH, "InstanceIds": ids("i-windows")},
        )
    ]
    assert codes == [
        "MissingParameter",
        "InvalidRegionId.NotFound",
        "MissingParameter",
        "InvalidKeyPairName.NotFound",
        "InvalidInstanceId.NotFound",
        "DependencyViolation.WindowsInstance",
    ]


def test_the_old_page_attaches_in_any_status() -> None:
    """It knows no wrong status and no lock: attached, as if legal."""
    cloud = fixtures.cloud(SEED)
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    assert attach(cloud, "i-plain-1", "i-security", now=NOW + 1).status == 200


def test_a_batch_without_failures_is_answered_as_each_instance_alone() -> None:
    """Written in one go, but item for item the bytes that a batch with a failure has."""
    whole = body_bytes(attach(fixtures.cloud(), "i-plain-1", "i-plain-2"), "", Format.JSON)
    mixed = body(attach(fixtures.cloud(), "i-plain-1", "i-plain-2", "i-none"))
    items = mixed["Results"]["Result"][:2]
    assert json.dumps(items, separators=(",", ":")).encode() in whole
