"""Cloud Assistant: what a command finds in the guest, and when."""

import base64
from collections.abc import Mapping

import pytest

from rollout.emulator.cloud import Cloud
from rollout.emulator.shell import fingerprint_line
from tests.emulator import stage
from tests.emulator.stage import FRESH_BODY, NOW, REGION, attach, body, call

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
    cloud = stage.cloud()
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
    cloud = stage.cloud()
    invoke_id = send(cloud, "echo hello")
    assert result(cloud, invoke_id, NOW + 500)["InvocationStatus"] == "Running"
    asked = {"RegionId": REGION, "InvokeId": invoke_id}
    answer = body(call(cloud, "DescribeInvocationResults", asked, now=NOW + 1_000))
    (found,) = answer["Invocation"]["InvocationResults"]["InvocationResult"]
    assert base64.b64decode(found["Output"]) == b"hello\n"


def test_a_command_for_the_next_boot_waits_for_it() -> None:
    """NextRebootOnly is a witness of the boot: scheduled until it has happened."""
    cloud = stage.cloud()
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
def test_the_pretend_shell(script: str, code: int, output: str) -> None:
    """It answers a few commands from the guest's state and knows no others."""
    cloud = stage.cloud()
    seen = result(cloud, send(cloud, script), NOW + 2_000)
    assert (seen["ExitCode"], seen["Output"]) == (code, output)
    assert seen["ErrorCode"] == ("" if code == 0 else "ExitCodeNonzero")


def test_fingerprints_are_those_of_ssh_keygen() -> None:
    """The line that `ssh-keygen -l` prints for this very key."""
    cloud = stage.cloud()
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
        ({"CommandContent": "!"}, 400, "InvalidParameter.CommandContent"),
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
    cloud = stage.cloud()
    reply = call(cloud, "RunCommand", params)
    assert (reply.status, reply.code, len(cloud.ledger)) == (status, code, 0)


def test_a_command_without_instances_is_refused() -> None:
    """MissingParam.InstanceId has its own spelling."""
    params = {"RegionId": REGION, "Type": "RunShellScript", "CommandContent": "true"}
    assert call(stage.cloud(), "RunCommand", params).code == "MissingParam.InstanceId"


def test_a_client_token_makes_a_repeat_safe() -> None:
    """The same token and content give the same invocation; another content is a mismatch."""
    cloud = stage.cloud()
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
    cloud = stage.cloud()
    invoke_id = send(cloud, "true", {"InstanceId.1": "i-stopped"})
    seen = result(cloud, invoke_id, NOW + 2_000)
    assert (seen["InvocationStatus"], seen["ErrorCode"]) == ("Failed", "InstanceNotRunning")


def test_the_agent_is_there_while_the_instance_runs() -> None:
    """CloudAssistantStatus is a text, and OSType is capitalised here."""
    params = {"RegionId": REGION, "InstanceId.1": "i-stopped", "InstanceId.2": "i-windows"}
    answer = body(call(stage.cloud(), "DescribeCloudAssistantStatus", params))
    agents = answer["InstanceCloudAssistantStatusSet"]["InstanceCloudAssistantStatus"]
    assert [(a["CloudAssistantStatus"], a["OSType"]) for a in agents] == [
        ("false", "Linux"),
        ("true", "Windows"),
    ]


def test_results_are_paged_by_token() -> None:
    """Ten by default; the token leads on to the rest."""
    cloud = stage.cloud()
    many = {f"InstanceId.{n}": f"i-plain-{n}" for n in range(1, 13)}
    send(cloud, "true", many)
    first = body(call(cloud, "DescribeInvocationResults", RegionId=REGION))["Invocation"]
    assert len(first["InvocationResults"]["InvocationResult"]) == 10
    rest = body(
        call(cloud, "DescribeInvocationResults", RegionId=REGION, NextToken=first["NextToken"])
    )["Invocation"]
    assert (len(rest["InvocationResults"]["InvocationResult"]), rest["NextToken"]) == (2, "")
