"""Connections: the endpoint, the credentials, and errors with their fix."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollout.app import connect
from rollout.app.session import Connection
from rollout.ecs import endpoints, refusal
from rollout.errors import Exit, RolloutError
from rollout.model.outcome import Refused, RetryClass, Unknown

ENV_ID = "ALIBABA_CLOUD_ACCESS_KEY_ID"
KEYS = {ENV_ID: "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret"}
LOCAL = "http://127.0.0.1:1234"


@pytest.mark.parametrize(
    "connection,where",
    [
        (Connection(), ""),
        (Connection(emulator=True), "http://127.0.0.1:8473"),
        (Connection(emulator=True, endpoint=LOCAL), LOCAL),
        (Connection(endpoint=LOCAL), LOCAL),
        (Connection(endpoint="https://ecs.cn-beijing.aliyuncs.com"), "https://ecs.cn-beijing.aliyuncs.com"),
    ],
)  # fmt: skip
def test_where_calls_go(connection: Connection, where: str) -> None:
    """The hosts of the regions, the emulator's default port, or the configured address."""
    assert connect.endpoint_of(connection).override == where


def test_the_emulator_is_on_this_machine() -> None:
    """--emulator with a real endpoint is refused."""
    with pytest.raises(RolloutError) as caught:
        connect.endpoint_of(Connection(emulator=True, endpoint="https://ecs.aliyuncs.com"))

    assert caught.value.exit is Exit.USAGE


@pytest.mark.parametrize(
    "connection,where",
    [
        (Connection(sts_endpoint="sts-vpc.cn-beijing.aliyuncs.com"), "https://sts-vpc.cn-beijing.aliyuncs.com"),
        (Connection(endpoint="ecs-vpc.cn-beijing.aliyuncs.com"), "https://sts-vpc.cn-beijing.aliyuncs.com"),
        (Connection(endpoint="ecs-vpc.cn-beijing.aliyuncs.com", sts_endpoint="sts.aliyuncs.com"), "https://sts.aliyuncs.com"),
        (Connection(emulator=True), "http://127.0.0.1:8473"),
        (Connection(emulator=True, sts_endpoint=LOCAL), LOCAL),
    ],
)  # fmt: skip
def test_where_identity_is_asked(connection: Connection, where: str) -> None:
    """STS is called at its own endpoint of the same kind, or at the configured one."""
    assert connect.endpoint_of(connection).sts() == where


@pytest.mark.parametrize(
    "connection",
    [
        Connection(emulator=True, sts_endpoint="https://sts.aliyuncs.com"),
        Connection(endpoint=LOCAL, sts_endpoint="https://sts.aliyuncs.com"),
        Connection(sts_endpoint=LOCAL),
        Connection(endpoint="https://ecs.aliyuncs.com", sts_endpoint=LOCAL),
    ],
)
def test_both_endpoints_are_here_or_there(connection: Connection) -> None:
    """Otherwise real keys would be sent to this machine, or the emulator's key to the service."""
    with pytest.raises(RolloutError) as caught:
        connect.endpoint_of(connection)

    assert caught.value.exit is Exit.USAGE


def test_a_private_cloud_is_named_by_the_option() -> None:
    """Another host is accepted as an option, and refused as a variable."""
    private = "https://ecs.cloud.corp.example"

    assert connect.endpoint_of(Connection(endpoint=private)).ecs("cn-qd-d01") == private
    with pytest.raises(RolloutError) as caught:
        connect.endpoint_of(Connection(endpoint=private), {"ROLLOUT_ENDPOINT": private})
    assert caught.value.exit is Exit.CONFIG


@pytest.mark.parametrize(
    "connection,environment,name",
    [
        (Connection(emulator=True), KEYS, "emulator key"),
        (Connection(endpoint=LOCAL), {}, "emulator key"),
        (Connection(endpoint=LOCAL), KEYS | {ENV_ID: "emulator"}, "emulator key"),
        (Connection(endpoint="https://127.0.0.1:1234"), KEYS, "environment"),
        (Connection(), KEYS, "environment"),
    ],
)
def test_whose_keys_are_used(
    connection: Connection, environment: dict[str, str], name: str
) -> None:
    """The emulator gets its own key; the service and TLS addresses get the configured keys."""
    source = connect.source_of(connection, connect.endpoint_of(connection), environment)

    assert source.name == name


@pytest.mark.parametrize(
    "connection", [Connection(endpoint=LOCAL), Connection(endpoint=LOCAL, profile="prod")]
)
def test_keys_are_not_sent_in_clear_unless_the_emulator_is_named(connection: Connection) -> None:
    """A loopback address may belong to any program: R0408 names the option."""
    with pytest.raises(RolloutError) as caught:
        connect.source_of(connection, connect.endpoint_of(connection), KEYS)

    assert (caught.value.problems[0].code, caught.value.exit) == ("R0408", Exit.DENIED)
    assert "--emulator" in (caught.value.problems[0].help or "")


def test_a_profile_is_used_for_the_emulator_where_both_are_named(tmp_path: Path) -> None:
    """An emulator with its own users gets the keys of the named profile."""
    (tmp_path / ".aliyun").mkdir()
    row = {"name": "ops", "mode": "AK", "access_key_id": "ops", "access_key_secret": "s"}
    (tmp_path / ".aliyun" / "config.json").write_text(json.dumps({"profiles": [row]}), "utf-8")
    connection = Connection(emulator=True, profile="ops")
    source = connect.source_of(connection, connect.endpoint_of(connection), {"HOME": str(tmp_path)})

    assert source.fetch(0).access_key_id == "ops"


def test_a_named_profile_wins_over_the_environment(tmp_path: object) -> None:
    """Without the profile of --profile the command fails; it does not use the environment."""
    with pytest.raises(RolloutError) as caught:
        connect.source_of(
            Connection(profile="nobody"), endpoints.Endpoints(), {**KEYS, "HOME": str(tmp_path)}
        )

    assert caught.value.exit in (Exit.DENIED, Exit.CONFIG)


@pytest.mark.parametrize(
    "outcome,code,exit_code",
    [
        (Refused("R0401", RetryClass.DENIED, "no keys"), "R0401", Exit.DENIED),
        (Refused("InvalidAccessKeyId.NotFound", RetryClass.DENIED), "R0402", Exit.DENIED),
        (Refused("SignatureDoesNotMatch", RetryClass.DENIED), "R0402", Exit.DENIED),
        (Refused("Forbidden.RAM", RetryClass.DENIED), "R0403", Exit.DENIED),
        (Refused("InvalidTimeStamp.Expired", RetryClass.CLOCK), "R0404", Exit.DENIED),
        (Refused("refused", RetryClass.UNSENT, "refused: 127.0.0.1:9"), "R0410", Exit.FAILED),
        (Refused("Strange.Code", RetryClass.ODD), "R0411", Exit.FAILED),
        (Unknown("timeout"), "R0410", Exit.FAILED),
        (Unknown("proxy_or_gateway"), "R0412", Exit.FAILED),
        (Unknown("redirect"), "R0412", Exit.FAILED),
    ],
)
def test_answers_become_errors_with_a_cure(
    outcome: Refused | Unknown, code: str, exit_code: Exit
) -> None:
    """Every refusal before a run has a code, an exit code, the address and a fix."""
    error = refusal.explain(outcome, "GetCallerIdentity", "https://sts.aliyuncs.com")
    (problem,) = error.problems

    assert (problem.code, error.exit) == (code, exit_code)
    assert "GetCallerIdentity at https://sts.aliyuncs.com" in problem.message
    assert problem.help or code == "R0411"


def test_the_request_id_is_passed_on() -> None:
    """A support ticket needs it."""
    error = refusal.explain(Refused("X", RetryClass.ODD, request_id="4711"), "A", "B")

    assert error.problems[0].request_id == "4711"
