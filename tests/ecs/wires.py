"""Doubles of these tests: a network that is a list of scripts, and keys that are numbered."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rollout.ecs.client import EcsClient
from rollout.ecs.credentials import Credentials, Keyring, KeysUnavailableError, Secret
from rollout.ecs.transport import Lost, NotSent, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.errors import AccessError
from rollout.model.outcome import Done, Refused, Unknown
from rollout.model.plan import RestartKind
from rollout.model.time import HOUR, Instant
from tests.ecs.scripted import DATE, FAR, REQUEST_ID, JumpClock, client_on
from tests.inprocess import InProcessTransport

REGION = "cn-beijing"
CANARY = "canary-3fe9"


def accepted(*, date: str = DATE) -> HttpReply:
    """A reply that suits a mutation of one id and every list."""
    lists: dict[str, object] = {
        "Instances": {"Instance": []},
        "InstanceStatuses": {"InstanceStatus": []},
        "KeyPairs": {"KeyPair": []},
        "Regions": {"Region": []},
    }
    body = lists | {"RequestId": REQUEST_ID, "AccountId": "1", "Arn": "acs:ram::1:root"}
    return HttpReply(200, {"Date": date}, json.dumps(body).encode())


def refused(status: int, code: str, *, date: str = DATE) -> HttpReply:
    """An error of the API."""
    body = {"RequestId": REQUEST_ID, "Code": code, "Message": "no"}
    return HttpReply(status, {"Date": date}, json.dumps(body).encode())


Script = HttpReply | NotSent | Lost | Callable[[], None]


@dataclass
class Wire:
    """Answers the n-th call with the n-th script, all further ones with the last."""

    scripts: Sequence[Script] = (accepted(),)
    calls: list[SignedCall] = field(default_factory=list)

    def __call__(self, call: SignedCall) -> HttpReply:
        self.calls.append(call)
        script = self.scripts[min(len(self.calls), len(self.scripts)) - 1]
        if isinstance(script, Exception):
            raise script
        if isinstance(script, HttpReply):
            return script
        script()
        return accepted()

    @property
    def actions(self) -> list[str]:
        return [call.action for call in self.calls]

    def header(self, name: str) -> list[str]:
        return [call.headers[name] for call in self.calls]


class Tokens:
    """Temporary keys, numbered."""

    name = "tokens"
    blocks = False

    def __init__(self) -> None:
        self.fetches = 0
        self.down = False
        self.unreachable = False

    def fetch(self, now: Instant) -> Credentials:
        self.fetches += 1
        if self.down:
            raise AccessError.of("R0402", "no keys")
        if self.unreachable:
            raise KeysUnavailableError.of("R0410", "no answer")
        secret, token = Secret(f"{CANARY}-s{self.fetches}"), Secret(f"{CANARY}-t{self.fetches}")
        return Credentials(f"id-{self.fetches}", secret, token, now, now + HOUR)


def client_of(
    wire: Wire,
    clock: JumpClock | None = None,
    *,
    keyring: Keyring | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> EcsClient:
    """A client whose network is a list of scripts."""
    transport = InProcessTransport(wire)
    return client_on(transport, clock or JumpClock(), keyring=keyring, stopped=stopped)


async def reboot(client: EcsClient, not_after: Instant = FAR) -> Done | Refused | Unknown:
    """A mutation of one id."""
    answer = await client.restart(RestartKind.REBOOT, REGION, ["i-1"], not_after=not_after)
    return answer.outcome
