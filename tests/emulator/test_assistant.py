"""Cloud Assistant: what a command finds in the guest, and when."""

import base64
import json
from collections.abc import Mapping

import pytest

from rollout.ecs import wire
from rollout.emulator.cloud.fleet import FleetBuilder
from rollout.emulator.cloud.lifecycle import BaseStatus
from rollout.emulator.cloud.shapes import Image, Shape
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.cloud.users import Access, Statement, User
from rollout.emulator.dispatch import Cloud
from rollout.emulator.guest.shell import fingerprint_line, home
from tests.emulator import fixtures
from tests.emulator.fixtures import FRESH_BODY, NOW, REGION, attach, body, call

_CONTENT = "InvalidParameter.CommandContent"
_ELEVEN = json.dumps({f"p{n}": "" for n in range(11)})
PROOF = "cat /proc/sys/kernel/random/boot_id\ncat ~/.ssh/authorized_keys"


def send(
    cloud: Cloud, script: str, more: Mapping[str, str] | None = None, *, now: int = NOW
) -> str:
    """InvokeId of a command for one instance."""
    params = {
        "RegionId": REGION,
        "Type": "RunShellScript",
        "CommandContent": base64.b64encode(script.encode()).decode(),
        "ContentEncoding": "Base64",
        "InstanceId.1": "i-plain-1",
        **(more or {}),
    }
    reply = call(cloud, "RunCommand", params, now=now)
    assert reply.code is None, reply.code
    return str(reply.body["InvokeId"])


def result(cloud: Cloud, invoke_id: str, now: int) -> dict[str, object]:
    """The one result of a command, with its output as text."""
    params = {"RegionId": REGION, "InvokeId": invoke_id, "ContentEncoding": "PlainText"}
    answer = body(call(cloud, "DescribeInvocationResults", params, now=now))
    (found,) = answer["Invocation"]["InvocationResults"]["InvocationResult"]
    row: dict[str, object] = found
    return row


def test_a_command_reads_the_key_of_the_last_boot() -> None:
    """authorized_keys in the guest is not what the record says; boot_id changes with the boot."""
    cloud = fixtures.cloud()
    attach(cloud, "i-plain-1")
    before = result(cloud, send(cloud, PROOF), NOW + 2_000)
    call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 3_000)
    after = result(cloud, send(cloud, PROOF, now=NOW + 10_000), NOW + 12_000)
    old_boot, old_key = str(before["Output"]).splitlines()
    new_boot, new_key = str(after["Output"]).splitlines()
    assert (before["InvocationStatus"], before["ExitCode"]) == ("Success", 0)
    assert old_boot != new_boot
    assert (old_key != FRESH_BODY, new_key) == (True, FRESH_BODY)


def test_a_command_takes_its_time_and_encodes_its_output() -> None:
    """Running for a second; Base64 unless plain text is asked for."""
    cloud = fixtures.cloud()
    invoke_id = send(cloud, "echo hello")
    assert result(cloud, invoke_id, NOW + 500)["InvocationStatus"] == "Running"
    asked = {"RegionId": REGION, "InvokeId": invoke_id}
    answer = body(call(cloud, "DescribeInvocationResults", asked, now=NOW + 1_000))
    (found,) = answer["Invocation"]["InvocationResults"]["InvocationResult"]
    assert base64.b64decode(found["Output"]) == b"hello\n"


def test_a_command_for_the_next_boot_waits_for_it() -> None:
    """NextRebootOnly is a witness of the boot: scheduled until it has happened."""
    cloud = fixtures.cloud()
    invoke_id = send(cloud, "uptime -s", {"RepeatMode": "NextRebootOnly"})
    assert result(cloud, invoke_id, NOW + 2_000)["InvocationStatus"] == "Scheduled"
    call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 3_000)
    seen = result(cloud, invoke_id, NOW + 9_000)
    assert (seen["InvocationStatus"], seen["Output"]) == ("Success", "2026-02-02 02:40:04\n")


@pytest.mark.parametrize(
    "script, code, output",
    [
        ("sshd -T | grep -i passwordauthentication", 0, "passwordauthentication no\n"),
        ("whoami && hostname", 0, "root\necs-0000000\n"),
        ("cat /etc/shadow", 1, "cat: /etc/shadow: No such file or directory\n"),
        ("make coffee", 127, "sh: make: command not found\n"),
        ("# a comment\n\ntrue", 0, ""),
        ("echo 'open", 2, "sh: unterminated quoted string\n"),
    ],
)
def test_the_simulated_shell(script: str, code: int, output: str) -> None:
    """It answers a few commands from the guest's state and knows no others."""
    cloud = fixtures.cloud()
    seen = result(cloud, send(cloud, script), NOW + 2_000)
    assert (seen["ExitCode"], seen["Output"]) == (code, output)
    assert seen["ErrorCode"] == ("" if code == 0 else "ExitCodeNonzero")


def test_fingerprints_are_those_of_ssh_keygen() -> None:
    """The line that `ssh-keygen -l` prints for this very key."""
    cloud = fixtures.cloud()
    attach(cloud, "i-plain-1")
    call(cloud, "RebootInstance", InstanceId="i-plain-1")
    invoke_id = send(cloud, "ssh-keygen -lf ~/.ssh/authorized_keys", now=NOW + 6_000)
    seen = result(cloud, invoke_id, NOW + 9_000)
    assert seen["Output"] == fingerprint_line(FRESH_BODY) + "\n"
    assert str(seen["Output"]).startswith("256 SHA256:")


@pytest.mark.parametrize(
    "change, status, code",
    [
        ({"InstanceId.1": "i-windows"}, 400, "InvalidInstance.NotMatch"),
        ({"InstanceId.1": "i-none"}, 404, "InvalidInstance.NotFound"),
        ({"Type": ""}, 400, "MissingType"),
        ({"CommandContent": "x" * 25_000}, 403, "CmdContent.ExceedLimit"),
        ({"CommandContent": "x" * 18_500, "ContentEncoding": ""}, 403, "CmdContent.ExceedLimit"),
        ({"CommandContent": "!"}, 400, "InvalidParameter.CommandContent"),
        ({"CommandContent": "!", "ContentEncoding": "base64"}, 400, _CONTENT),
        ({"Type": "RunPython"}, 403, "InvalidCmdType.NotFound"),
        ({"RepeatMode": "Twice"}, 404, "InvalidRepeatMode.NotFound"),
        ({"RepeatMode": "Period"}, 400, "MissingParam.Frequency"),
        ({"TerminationMode": "Softly"}, 404, "InvalidTerminationMode.NotFound"),
        ({"Name": "n" * 129}, 403, "CmdName.ExceedLimit"),
        ({"Username": "u" * 256}, 403, "Username.ExceedLimit"),
        ({"Launcher": "l" * 1025}, 403, "InvalidLauncher.LengthLimitExceeded"),
        ({"ClientToken": "t" * 65}, 400, "InvalidClientToken.Malformed"),
        ({"ClientToken": "t\u00f6ken"}, 400, "InvalidClientToken.Malformed"),
        ({"Parameters": '{"a": "b"}'}, 400, "Parameter.Disabled"),
        ({"Parameters": "[]"}, 400, "InvalidParameter.Parameters"),
        ({"Parameters": '{"a": "b"}', "EnableParameter": "true"}, 403, "Parameter.NotMatched"),
        ({"Parameters": _ELEVEN, "EnableParameter": "true"}, 403, "ParameterCount.ExceedLimit"),
        ({"Tag.1.Key": "acs:x"}, 400, "InvalidTagKey.Malformed"),
        ({"ResourceTag.1.Key": "app"}, 400, "InvalidResourceTag.ConflictWithInstanceIds"),
        (
            {f"InstanceId.{n}": f"i-{n}" for n in range(1, 102)},
            403,
            "InstanceIds.ExceedLimit",
        ),
    ],
)
def test_one_unfit_instance_or_value_refuses_the_call(
    change: dict[str, str], status: int, code: str
) -> None:
    """Nothing is sent to the others."""
    params = {
        "RegionId": REGION,
        "Type": "RunShellScript",
        "CommandContent": "dHJ1ZQ==",
        "ContentEncoding": "Base64",
        "InstanceId.1": "i-plain-1",
        **change,
    }
    cloud = fixtures.cloud()
    reply = call(cloud, "RunCommand", params)
    assert (reply.status, reply.code, len(cloud.ledger)) == (status, code, 0)


def test_a_command_without_instances_is_refused() -> None:
    """MissingParam.InstanceId has its own spelling."""
    params = {"RegionId": REGION, "Type": "RunShellScript", "CommandContent": "true"}
    assert call(fixtures.cloud(), "RunCommand", params).code == "MissingParam.InstanceId"


def test_a_client_token_makes_a_repeat_safe() -> None:
    """The same token and content give the same invocation; another content is a mismatch."""
    cloud = fixtures.cloud()
    first = send(cloud, "true", {"ClientToken": "token-1"})
    assert send(cloud, "true", {"ClientToken": "token-1"}) == first
    params = {
        "RegionId": REGION,
        "Type": "RunShellScript",
        "CommandContent": "false",
        "InstanceId.1": "i-plain-1",
        "ClientToken": "token-1",
    }
    reply = call(cloud, "RunCommand", params)
    assert (reply.status, reply.code) == (403, "IdempotentParameterMismatch")


def test_a_command_to_a_stopped_instance_fails_in_its_result() -> None:
    """The call is accepted, the result says InstanceNotRunning."""
    cloud = fixtures.cloud()
    invoke_id = send(cloud, "true", {"InstanceId.1": "i-stopped"})
    seen = result(cloud, invoke_id, NOW + 2_000)
    assert (seen["InvocationStatus"], seen["ErrorCode"]) == ("Aborted", "InstanceNotRunning")
    assert seen["InvokeRecordStatus"] == "Failed"
    assert seen["ErrorInfo"] == "the instance is not running when create task"


def test_the_agent_is_there_while_the_instance_runs() -> None:
    """CloudAssistantStatus is a text, and OSType is capitalised here."""
    params = {"RegionId": REGION, "InstanceId.1": "i-stopped", "InstanceId.2": "i-windows"}
    answer = body(call(fixtures.cloud(), "DescribeCloudAssistantStatus", params))
    agents = answer["InstanceCloudAssistantStatusSet"]["InstanceCloudAssistantStatus"]
    assert [(a["CloudAssistantStatus"], a["OSType"]) for a in agents] == [
        ("false", "Linux"),
        ("true", "Windows"),
    ]


def test_results_are_paged_by_token() -> None:
    """Ten by default; the token leads on to the rest."""
    cloud = fixtures.cloud()
    many = {f"InstanceId.{n}": f"i-plain-{n}" for n in range(1, 13)}
    send(cloud, "true", many)
    first = body(call(cloud, "DescribeInvocationResults", RegionId=REGION))["Invocation"]
    assert len(first["InvocationResults"]["InvocationResult"]) == 10
    rest = body(
        call(cloud, "DescribeInvocationResults", RegionId=REGION, NextToken=first["NextToken"])
    )["Invocation"]
    assert (len(rest["InvocationResults"]["InvocationResult"]), rest["NextToken"]) == (2, "")


def test_what_has_run_is_not_read_again() -> None:
    """A boot after the command leaves its output alone: else it would prove one too many."""
    cloud = fixtures.cloud()
    invoke_id = send(cloud, PROOF)
    before = result(cloud, invoke_id, NOW + 2_000)
    attach(cloud, "i-plain-1")
    call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 3_000)
    assert result(cloud, invoke_id, NOW + 60_000) == before
    never_read = send(cloud, PROOF, now=NOW + 70_000)
    call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 72_000)
    fresh = send(cloud, PROOF, now=NOW + 90_000)
    first, second = (result(cloud, i, NOW + 99_000)["Output"] for i in (never_read, fresh))
    assert first != second


def test_a_command_for_the_next_boot_waits_for_a_stopped_instance_too() -> None:
    """It runs at the next start, and its output stays that of this start."""
    cloud = fixtures.cloud()
    more = {"RepeatMode": "NextRebootOnly", "InstanceId.1": "i-stopped"}
    invoke_id = send(cloud, PROOF, more)
    waiting = result(cloud, invoke_id, NOW + 2_000)
    assert (waiting["InvocationStatus"], waiting["InvokeRecordStatus"]) == ("Scheduled", "Running")
    call(cloud, "StartInstance", InstanceId="i-stopped", now=NOW + 3_000)
    seen = result(cloud, invoke_id, NOW + 9_000)
    call(cloud, "RebootInstance", InstanceId="i-stopped", now=NOW + 10_000)
    assert (seen["InvocationStatus"], seen["Repeats"]) == ("Success", 1)
    assert result(cloud, invoke_id, NOW + 60_000) == seen


def test_a_late_query_returns_the_output_of_the_next_boot() -> None:
    """Two boots later its output is still that of the first, with the key of that one."""
    cloud = fixtures.cloud()
    witness = send(cloud, PROOF, {"RepeatMode": "NextRebootOnly"})
    call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 3_000)
    there = result(cloud, send(cloud, PROOF, now=NOW + 10_000), NOW + 12_000)
    attach(cloud, "i-plain-1", now=NOW + 13_000)
    call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + 14_000)
    seen = result(cloud, witness, NOW + 60_000)
    assert seen["Output"] == there["Output"]
    assert FRESH_BODY not in str(seen["Output"])
    assert (seen["StartTime"], seen["FinishedTime"]) == (
        wire.iso_seconds(NOW + 8_000),
        wire.iso_seconds(NOW + 9_000),
    )


def test_a_command_for_every_boot_runs_at_each_of_them() -> None:
    """Between boots it is scheduled and shows the latest run; the former ones are its history."""
    cloud = fixtures.cloud()
    invoke_id = send(cloud, PROOF, {"RepeatMode": "EveryReboot"})
    outputs = []
    for round_ in (1, 2):
        call(cloud, "RebootInstance", InstanceId="i-plain-1", now=NOW + round_ * 10_000)
        ends = NOW + round_ * 10_000 + 5_000
        assert result(cloud, invoke_id, ends)["InvocationStatus"] == "Running"
        seen = result(cloud, invoke_id, ends + 2_000)
        assert (seen["InvocationStatus"], seen["Repeats"], seen["InvokeRecordStatus"]) == (
            "Scheduled",
            round_,
            "Running",
        )
        outputs.append(seen["Output"])
    assert outputs[0] != outputs[1]
    params = {"RegionId": REGION, "InvokeId": invoke_id, "ContentEncoding": "PlainText"}
    params["IncludeHistory"] = "true"
    answer = body(call(cloud, "DescribeInvocationResults", params, now=NOW + 60_000))
    runs = answer["Invocation"]["InvocationResults"]["InvocationResult"]
    assert [(run["InvocationStatus"], run["Repeats"], run["Output"]) for run in runs] == [
        ("Success", 2, outputs[1]),
        ("Success", 1, outputs[0]),
    ]


def test_a_released_instance_ends_what_waits_on_it() -> None:
    """InstanceReleased, and never a result."""
    cloud = fixtures.cloud()
    invoke_id = send(cloud, "true", {"RepeatMode": "EveryReboot"})
    ordinal = cloud.instances.find("i-plain-1")
    assert ordinal is not None
    cloud.instances.put(ordinal, BaseStatus.RELEASED, NOW + 1_000)
    seen = result(cloud, invoke_id, NOW + 2_000)
    assert (seen["InvocationStatus"], seen["ErrorCode"]) == ("Error", "InstanceReleased")


def test_a_schedule_never_comes_due() -> None:
    """A Frequency makes any command a scheduled one, and this emulator keeps no schedules."""
    cloud = fixtures.cloud()
    invoke_id = send(cloud, "true", {"Frequency": "rate(5m)"})
    assert result(cloud, invoke_id, NOW + 3_600_000)["InvocationStatus"] == "Scheduled"


def test_a_dry_run_sends_nothing() -> None:
    """It is checked like any other, and leaves no invocation and no effect."""
    cloud = fixtures.cloud()
    params = {
        "RegionId": REGION,
        "Type": "RunShellScript",
        "CommandContent": "true",
        "InstanceId.1": "i-plain-1",
        "RepeatMode": "DryRun",
    }
    assert call(cloud, "RunCommand", params).status == 200
    assert call(cloud, "RunCommand", {**params, "InstanceId.1": "i-none"}).status == 404
    answer = body(call(cloud, "DescribeInvocationResults", RegionId=REGION))
    assert (answer["Invocation"]["TotalCount"], len(cloud.ledger)) == (0, 0)


def test_parameters_are_filled_in() -> None:
    """Names in any case with spaces around; what is not given is empty."""
    cloud = fixtures.cloud()
    more = {"EnableParameter": "true", "Parameters": '{"Name": "Jack"}'}
    invoke_id = send(cloud, "echo {{ name }} {{other}}!", more)
    assert result(cloud, invoke_id, NOW + 2_000)["Output"] == "Jack !\n"


def test_tags_say_whom_a_command_is_for() -> None:
    """ResourceTag stands for ids; a tag that nobody has is refused."""
    cloud = fixtures.cloud()
    params = {"RegionId": "cn-beijing", "Type": "RunShellScript", "CommandContent": "true"}
    tag = {"ResourceTag.1.Key": "app", "ResourceTag.1.Value": "cart"}
    assert call(cloud, "RunCommand", {**params, **tag}).code is None
    assert [entry.instance for entry in cloud.ledger] == ["i-far"]
    none = {**params, "ResourceTag.1.Key": "nobody"}
    assert call(cloud, "RunCommand", none).code == "InvalidResourceTag.InstanceNotFound"
    mixed = {**params, **tag, "RegionId": REGION}
    assert call(cloud, "RunCommand", mixed).code == "InvalidInstance.NotMatch"


def test_a_command_runs_as_root_or_as_whom_it_names() -> None:
    """Not as the login user, whose authorized_keys is found by its path; others do not exist."""
    builder = FleetBuilder(NOW)
    region = builder.open_region(REGION)
    key = builder.key_pair("k", FRESH_BODY).number
    image = Image("m-1", "linux", "Linux", login_user="ecs-user")
    shape = builder.shape(Shape(region, region.zones[0], image))
    builder.add(
        shape,
        builder.tags(()),
        instance="i-plain-1",
        record=key,
        start_ms=fixtures.STARTED,
        created_minute=fixtures.CREATED_MINUTE,
    )
    cloud = Cloud(builder.finish(1))
    script = f"whoami; cat {home('ecs-user')}/.ssh/authorized_keys; cat ~/.ssh/authorized_keys"

    def seen(user: str) -> dict[str, object]:
        return result(cloud, send(cloud, script, {"Username": user}), NOW + 2_000)

    refusal = f"cat: {home('root')}/.ssh/authorized_keys: No such file or directory\n"
    assert seen("")["Output"] == f"root\n{FRESH_BODY}\n{refusal}"
    assert seen("ecs-user")["Output"] == f"ecs-user\n{FRESH_BODY}\n{FRESH_BODY}\n"
    nobody = seen("nobody")
    assert (nobody["ErrorCode"], nobody["InvokeRecordStatus"]) == ("AccountNotExists", "Failed")


def test_a_repeat_is_answered_whatever_became_of_the_instance() -> None:
    """The token stands for the first call, also when its instance is gone since."""
    cloud = fixtures.cloud()
    first = send(cloud, "true", {"ClientToken": "token-1"})
    ordinal = cloud.instances.find("i-plain-1")
    assert ordinal is not None
    cloud.instances.put(ordinal, BaseStatus.RELEASED, NOW)
    assert send(cloud, "true", {"ClientToken": "token-1"}, now=NOW + 1) == first


@pytest.mark.parametrize("name", ["PageNumber", "PageSize"])
def test_a_page_that_is_no_number_is_refused(name: str) -> None:
    """With the printed text, although that does not name the parameter."""
    reply = call(
        fixtures.cloud(),
        "DescribeInvocationResults",
        {"RegionId": REGION, "InvokeId": "", name: "x"},
    )
    assert (reply.code, reply.body["Message"]) == (
        f"InvalidParam.{name}",
        "The specified parameter is invalid.",
    )


def test_results_are_filtered() -> None:
    """By InvokeRecordStatus, resource group and tags; and paged by number, if asked so."""
    cloud = fixtures.cloud()
    tagged = {"Tag.1.Key": "team", "Tag.1.Value": "ops", "ResourceGroupId": "rg-1"}
    done = send(cloud, "true", tagged)
    waiting = send(cloud, "true", {"RepeatMode": "NextRebootOnly"})

    def found(**filters: str) -> list[str]:
        params = {"RegionId": REGION, **{n.replace("_", "."): v for n, v in filters.items()}}
        answer = body(call(cloud, "DescribeInvocationResults", params, now=NOW + 2_000))
        rows = answer["Invocation"]["InvocationResults"]["InvocationResult"]
        return [row["InvokeId"] for row in rows]

    assert found(InvokeRecordStatus="Finished") == [done]
    assert found(InvokeRecordStatus="Running") == [waiting]
    assert found(Tag_1_Key="team") == found(ResourceGroupId="rg-1") == [done]
    assert found(PageSize="1", PageNumber="2") == [waiting]


def test_agents_are_counted_and_filtered() -> None:
    """More than ten named ids come on one page; tasks are counted; OSType chooses."""
    cloud = fixtures.cloud()
    many = {f"InstanceId.{n}": f"i-plain-{n}" for n in range(1, 13)}
    send(cloud, "true")
    send(cloud, "true", now=NOW + 5_000)

    def agents(**params: str) -> list[dict[str, object]]:
        given = {"RegionId": REGION, "MaxResults": "10", **params}
        answer = body(call(cloud, "DescribeCloudAssistantStatus", given, now=NOW + 5_500))
        rows: list[dict[str, object]] = answer["InstanceCloudAssistantStatusSet"][
            "InstanceCloudAssistantStatus"
        ]
        return rows

    named = agents(**many)
    assert len(named) == 12
    assert (named[0]["ActiveTaskCount"], named[0]["InvocationCount"]) == (1, 1)
    assert named[0]["LastInvokedTime"] == "2026-02-02T02:40:05Z"
    assert [a["InstanceId"] for a in agents(OSType="Windows")] == ["i-windows"]
    assert len(agents()) == 10
    (stopped,) = agents(**{"InstanceId.1": "i-stopped"})
    assert stopped["CloudAssistantVersion"] == ""


def test_agents_of_no_or_too_many_instances_are_refused() -> None:
    """Unlike DescribeInstances, an unknown id is an error here."""
    cloud = fixtures.cloud()
    unknown = {"RegionId": REGION, "InstanceId.1": "i-none"}
    assert call(cloud, "DescribeCloudAssistantStatus", unknown).code == "InvalidInstance.NotFound"
    many = {"RegionId": REGION, **{f"InstanceId.{n}": f"i-{n}" for n in range(1, 102)}}
    assert call(cloud, "DescribeCloudAssistantStatus", many).code == "InstanceIds.ExceedLimit"


@pytest.mark.parametrize(
    "action", ["DescribeInvocationResults", "DescribeCloudAssistantStatus", "RunCommand"]
)
def test_a_call_without_permission_is_refused(action: str) -> None:
    """No line allows it: Forbidden.RAM, no empty list."""
    nobody = User(statements=(Statement("allow", ("ecs:DescribeInstances",)),))
    cloud = Cloud(fixtures.fleet(), access=Access([nobody]))
    params = {
        "RegionId": REGION,
        "Type": "RunShellScript",
        "CommandContent": "true",
        "InstanceId.1": "i-plain-1",
    }
    reply = call(cloud, action, params)
    assert (reply.status, reply.code) == (403, "Forbidden.RAM")


def test_password_login_may_end_at_the_attach() -> None:
    """Which of the two ends it nobody knows: the boot, unless the switch says the attach."""
    for switched, told in ((False, "yes"), (True, "no")):
        cloud = fixtures.cloud(Switches(attach_ends_password_login=switched))
        attach(cloud, "i-keyless")
        invoke_id = send(cloud, "sshd -T", {"InstanceId.1": "i-keyless"})
        seen = result(cloud, invoke_id, NOW + 2_000)
        assert seen["Output"] == f"passwordauthentication {told}\n"
