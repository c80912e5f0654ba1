"""The Describe actions: filters, both kinds of paging, ids that are omitted, lag."""

import pytest

from rollout.emulator.cloud.lifecycle import BaseStatus, OperationLock
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.cloud.users import Access, Statement, User
from rollout.emulator.dispatch import Cloud
from rollout.emulator.messages import Request
from tests.emulator import fixtures
from tests.emulator.fixtures import NOW, REGION, attach, body, call, ids, row, rows


def names(cloud: Cloud, **params: str) -> list[str]:
    """Ids of the rows that the filters let through."""
    dotted = {name.replace("_", "."): value for name, value in params.items()}
    return [r["InstanceId"] for r in rows(cloud, dotted)]


def test_a_row_has_the_fields_of_the_reference() -> None:
    """What matters to a rotation, spelled and nested as the service does."""
    seen = row(fixtures.cloud(), "i-security")
    assert seen["OSType"] == "linux"
    assert seen["KeyPairName"] == fixtures.FORMER
    assert seen["StartTime"] == "2026-02-02T00:40Z"
    assert seen["StoppedMode"] == "Not-applicable"
    assert seen["IoOptimized"] is True
    assert seen["OperationLocks"]["LockReason"][0]["LockReason"] == "security"
    assert seen["VpcAttributes"]["PrivateIpAddress"]["IpAddress"] == ["10.0.0.16"]
    assert seen["Tags"]["Tag"][0] == {"TagKey": "app", "TagValue": "cart"}
    assert seen["PublicIpAddress"] == {"IpAddress": []}


def test_a_cached_row_has_later_changes() -> None:
    """Rows are cached between calls; key, status, StartTime, lock and image are current."""
    cloud = fixtures.cloud()
    before = row(cloud, "i-plain-1")
    assert row(cloud, "i-plain-1") == before
    attach(cloud, "i-plain-1")
    assert row(cloud, "i-plain-1")["KeyPairName"] == fixtures.FRESH
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    assert row(cloud, "i-plain-1", NOW + 3_000)["Status"] == "Starting"
    later = row(cloud, "i-plain-1", NOW + 60_000)
    assert later == {**before, "KeyPairName": fixtures.FRESH, "StartTime": later["StartTime"]}
    assert later["StartTime"] > before["StartTime"]
    ordinal = cloud.instances.find("i-plain-1")
    windows = cloud.instances.find("i-windows")
    assert ordinal is not None
    assert windows is not None
    cloud.instances.set_lock(ordinal, OperationLock.SECURITY)
    cloud.instances.set_shape(ordinal, cloud.instances.shape[windows])
    last = row(cloud, "i-plain-1", NOW + 60_000)
    assert last["OperationLocks"]["LockReason"]
    assert last["OSType"] == "windows"


def test_ten_is_the_default_page() -> None:
    """Asking for fifteen ids without a page size answers ten: the official FAQ."""
    cloud = fixtures.cloud()
    fifteen = [f"i-plain-{n}" for n in range(1, 13)] + ["i-stopped", "i-keyless", "i-old"]
    answer = body(call(cloud, "DescribeInstances", RegionId=REGION, InstanceIds=ids(*fifteen)))
    assert (len(answer["Instances"]["Instance"]), answer["TotalCount"]) == (10, 15)


def test_pages_by_token_are_complete_and_end_with_an_empty_token() -> None:
    """Every instance once; MaxResults is clamped into 10 to 100; TotalCount means nothing."""
    cloud, seen, token, pages = fixtures.cloud(), [], "", 0
    while pages == 0 or token:
        answer = body(
            call(cloud, "DescribeInstances", RegionId=REGION, MaxResults="1", NextToken=token)
        )
        seen += [r["InstanceId"] for r in answer["Instances"]["Instance"]]
        token, pages = answer["NextToken"], pages + 1
    assert (len(seen), len(set(seen)), pages) == (18, 18, 2)


def test_a_foreign_token_is_refused() -> None:
    """A token is ours or wrong."""
    for token in ("x", "AAAA", "AAAAAAAAAAAAAAAA"):
        reply = call(fixtures.cloud(), "DescribeInstances", RegionId=REGION, NextToken=token)
        assert (reply.status, reply.code) == (400, "InvalidParameter.NextToken")


def test_unknown_ids_vanish_and_an_empty_array_matches_nothing() -> None:
    """Silence is not absence: the caller must compare what came back with what was asked."""
    cloud = fixtures.cloud()
    assert names(cloud, InstanceIds=ids("i-none", "i-plain-3", "i-far")) == ["i-plain-3"]
    assert names(cloud, InstanceIds="[]") == []


@pytest.mark.parametrize(
    "params, expected",
    [
        ({"Status": "Stopped"}, ["i-stopped", "i-arrears"]),
        ({"KeyPairName": "none"}, []),
        ({"ZoneId": "cn-hangzhou-i"}, ["i-windows"]),
        ({"VpcId": "vpc-2"}, []),
        ({"IoOptimized": "false"}, ["i-old"]),
        ({"LockReason": "security"}, ["i-security"]),
        ({"LockReason": "Recycling"}, []),
        ({"PrivateIpAddresses": '["10.0.0.0","10.0.0.2"]'}, ["i-plain-1", "i-plain-3"]),
        ({"InstanceNetworkType": "vpc", "PrivateIpAddresses": '["10.0.0.2"]'}, ["i-plain-3"]),
        ({"InstanceNetworkType": "classic", "PrivateIpAddresses": '["10.0.0.2"]'}, []),
        ({"PublicIpAddresses": '["1.2.3.4"]'}, []),
        ({"InstanceName": "ecs-000001*", "Status": "Stopped"}, ["i-stopped", "i-arrears"]),
        ({"InstanceName": "ecs-00000?1"}, []),
        ({"Tag.1.Key": "app", "Tag.1.Value": "login"}, []),
        ({"Tag.1.Key": "tier", "Status": "Stopped"}, ["i-stopped", "i-arrears"]),
        ({"Filter.1.Key": "CreationEndTime", "Filter.1.Value": "2020-01-01T00:00Z"}, []),
        ({"InstanceNetworkType": "classic"}, []),
        ({"InstanceChargeType": "PrePaid"}, []),
        ({"UnheardOf": "x", "Status": "Stopped"}, ["i-stopped", "i-arrears"]),
    ],
)
def test_filters_are_anded_and_unknown_parameters_ignored(
    params: dict[str, str], expected: list[str]
) -> None:
    """Each filter of the reference works alone and with others."""
    assert [r["InstanceId"] for r in rows(fixtures.cloud(), params)] == expected


@pytest.mark.parametrize(
    "params, code",
    [
        ({"Status": "running"}, "InvalidStatus.NotFound"),
        ({"InstanceNetworkType": "lan"}, "InvalidNetworkType.NotFound"),
        ({"LockReason": "odd"}, "InvalidLockReason.NotFound"),
        ({"HpcClusterId": "hpc-1"}, "InvalidHpcClusterId.NotFound"),
        ({"Filter.1.Key": "odd", "Filter.1.Value": "x"}, "InvalidFilterKey.NotFound"),
        ({"Tag.1.Value": "x"}, "InvalidTag.Mismatch"),
        ({f"Tag.{n}.Key": "x" for n in range(21)}, "InvalidTagCount"),
        ({"InstanceIds": "i-1"}, "InvalidInstanceIds.ValueNotSupported"),
        ({"PageNumber": "x"}, "InvalidParameter"),
        ({"MaxResults": "x"}, "InvalidParameter.MaxResults"),
    ],
)
def test_values_the_service_does_not_know_are_refused(params: dict[str, str], code: str) -> None:
    """Each with its own code."""
    assert call(fixtures.cloud(), "DescribeInstances", {"RegionId": REGION, **params}).code == code


def test_a_caller_without_permission_gets_an_empty_list() -> None:
    """No error distinguishes it from an empty fleet; a dry run does."""
    poor = User(name="poor", key_id="poor", statements=())
    cloud = Cloud(fixtures.fleet(), access=Access([User(), poor]))
    request = {"RegionId": REGION, "PageSize": "100"}
    reply = cloud.handle(Request("DescribeInstances", request, "poor"), NOW)
    assert (reply.status, body(reply)["Instances"]["Instance"]) == (200, [])
    dry = {**request, "DryRun": "true"}
    assert cloud.handle(Request("DescribeInstances", dry, "poor"), NOW).code == ("Forbidden.RAM")
    assert cloud.handle(Request("DescribeInstances", dry), NOW).code == "DryRunOperation"
    refused = cloud.handle(Request("RebootInstance", {"InstanceId": "i-1"}, "poor"), NOW)
    assert (refused.status, refused.code) == (403, "Forbidden.RAM")


def test_permission_is_checked_per_resource() -> None:
    """AttachKeyPair asks for each instance and for the key pair; a deny wins."""
    narrow = User(
        key_id="narrow",
        statements=(
            Statement("allow", ("ecs:AttachKeyPair",)),
            Statement("deny", resources=("acs:ecs:*:*:instance/i-plain-2",)),
        ),
    )
    cloud = Cloud(fixtures.fleet(), access=Access([narrow]))
    params = {"RegionId": REGION, "KeyPairName": fixtures.FRESH}

    def code(*instances: str) -> str | None:
        asked = {**params, "InstanceIds": ids(*instances)}
        return cloud.handle(Request("AttachKeyPair", asked, "narrow"), NOW).code

    assert code("i-plain-1") is None
    assert code("i-plain-1", "i-plain-2") == "Forbidden.RAM"


def test_the_lag_returns_the_former_state() -> None:
    """Status, key and StartTime of a few seconds ago, through attach, reboot and its end."""
    cloud = fixtures.cloud(Switches(describe_lag_ms=3_000))
    attach(cloud, "i-plain-1")
    seen = {}
    for second in (2, 4, 6, 8, 11, 13):
        if second == 4:
            call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 4_000)
        shown = row(cloud, "i-plain-1", NOW + second * 1_000)
        seen[second] = (shown["KeyPairName"], shown["Status"])
    assert seen == {
        2: (fixtures.FORMER, "Running"),
        4: (fixtures.FRESH, "Running"),
        6: (fixtures.FRESH, "Running"),
        8: (fixtures.FRESH, "Starting"),
        11: (fixtures.FRESH, "Starting"),
        13: (fixtures.FRESH, "Running"),
    }


def test_status_pages_at_most_fifty_and_ten_by_default() -> None:
    """A hundred ids are accepted, a page is smaller: a trap of the real service."""
    cloud = fixtures.cloud()
    asked = {"RegionId": REGION, **{f"InstanceId.{n}": f"i-plain-{n}" for n in range(1, 13)}}
    first = body(call(cloud, "DescribeInstanceStatus", asked))
    assert (len(first["InstanceStatuses"]["InstanceStatus"]), first["TotalCount"]) == (10, 12)
    whole = body(call(cloud, "DescribeInstanceStatus", {**asked, "PageSize": "100"}))
    assert whole["PageSize"] == 50
    assert whole["InstanceStatuses"]["InstanceStatus"][11] == {
        "InstanceId": "i-plain-12",
        "Status": "Running",
    }
    wrong_zone = call(cloud, "DescribeInstanceStatus", {**asked, "ZoneId": "cn-none-a"})
    assert (wrong_zone.status, wrong_zone.code) == (404, "InvalidZoneId.NotFound")


def test_the_attribute_has_no_key_and_no_start_time() -> None:
    """DescribeInstanceAttribute is flat and lacks what a read-back needs."""
    answer = body(call(fixtures.cloud(), "DescribeInstanceAttribute", InstanceId="i-old"))
    assert answer["IoOptimized"] == "none"
    assert not {"KeyPairName", "OSType", "OSName", "StartTime"} & set(answer)
    missing = call(fixtures.cloud(), "DescribeInstanceAttribute", InstanceId="i-none")
    assert (missing.status, missing.code) == (404, "InvalidInstanceId.NotFound")


def test_full_status_names_status_and_health() -> None:
    """What a caller needs to leave out instances with planned maintenance: here there are none."""
    asked = {"RegionId": REGION, "InstanceId.1": "i-stopped"}
    answer = body(call(fixtures.cloud(), "DescribeInstancesFullStatus", asked))
    (item,) = answer["InstanceFullStatusSet"]["InstanceFullStatusType"]
    assert item["Status"]["Name"] == "Stopped"
    assert item["ScheduledSystemEventSet"]["ScheduledSystemEventType"] == []


def test_a_released_instance_is_absent() -> None:
    """No status says "gone": the id vanishes from lists and is not found by calls."""
    cloud = fixtures.cloud()
    ordinal = cloud.instances.find("i-plain-2")
    assert ordinal is not None
    cloud.instances.put(ordinal, BaseStatus.RELEASED, NOW)
    assert "i-plain-2" not in names(cloud)
    reboot = call(cloud, "RebootInstance", InstanceId="i-plain-2")
    assert reboot.code == "InvalidInstanceId.NotFound"


def test_regions_point_back_to_the_emulator() -> None:
    """RegionEndpoint is the address of the call: whoever follows it stays with the emulator."""
    cloud = fixtures.cloud()
    request = Request("DescribeRegions", {}, address="127.0.0.1:8473")
    regions = body(cloud.handle(request, NOW))["Regions"]["Region"]
    assert {r["RegionEndpoint"] for r in regions} == {"127.0.0.1:8473"}
    assert [r["RegionId"] for r in regions[:2]] == [REGION, "cn-beijing"]
    wrong = call(cloud, "DescribeRegions", ResourceType="moon")
    assert (wrong.status, wrong.code) == (404, "InvalidResourceType.NotFound")


def test_identity_comes_from_sts_of_its_own_version() -> None:
    """Account id and ARN; the ECS version knows no such action."""
    cloud = fixtures.cloud()
    asked = Request("GetCallerIdentity", {}, version="2015-04-01")
    answer = body(cloud.handle(asked, NOW))
    assert (answer["AccountId"], answer["Arn"]) == (
        "1234567890123456",
        "acs:ram::1234567890123456:user/emulator",
    )
    assert call(cloud, "GetCallerIdentity").code == "InvalidAction.NotFound"
    assert cloud.handle(Request("X", {}, version="1999-01-01"), NOW).code == "InvalidVersion"


def test_full_status_knows_its_filters() -> None:
    """Status and health choose; no event is ever planned, so that a filter by events is empty."""
    cloud = fixtures.cloud()

    def found(**params: str) -> int:
        given = {"RegionId": REGION, **{n.replace("_", "."): v for n, v in params.items()}}
        count: int = body(call(cloud, "DescribeInstancesFullStatus", given))["TotalCount"]
        return count

    assert found() == 18
    assert found(Status="Stopped") == found(HealthStatus="NotApplicable") == 2
    assert found(HealthStatus="Impaired") == 0
    assert found(EventType="SystemMaintenance.Reboot") == found(EventId_1="e-1") == 0
    assert found(NotBefore_Start="2026-01-01T00:00:00Z") == 0


def test_a_token_can_have_a_life() -> None:
    """Permanently without the switch; a token from before the switch stays valid."""
    cloud = fixtures.cloud()
    page = {"RegionId": REGION, "MaxResults": "10"}

    def token(now: int) -> str:
        return str(call(cloud, "DescribeInstances", page, now=now).body["NextToken"])

    def code(token: str, now: int) -> str | None:
        return call(cloud, "DescribeInstances", {**page, "NextToken": token}, now=now).code

    old = token(NOW)
    cloud.switch(Switches(token_life_ms=60_000))
    fresh = token(NOW)
    assert code(fresh, NOW + 60_000) is None
    assert code(fresh, NOW + 60_001) == "InvalidParameter.NextToken"
    assert code(old, NOW + 60_001) is None


@pytest.mark.parametrize("status", [400, 412])
def test_the_status_of_a_passing_dry_run_is_a_switch(status: int) -> None:
    """Printed for other actions as 400; the code is what says that it passed."""
    cloud = fixtures.cloud(Switches(dry_run_status=status))
    asked = [
        call(cloud, "DescribeInstances", RegionId=REGION, DryRun="true"),
        call(cloud, "RebootInstance", InstanceId="i-plain-1", DryRun="true"),
    ]
    assert [(r.code, r.status) for r in asked] == [("DryRunOperation", status)] * 2
