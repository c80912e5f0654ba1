"""An endpoint that repeats its request: no outcome contains a secret of the call."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.ecs.client import EcsClient
from rollout.ecs.credentials import Keyring, Secret, StaticSource
from rollout.ecs.transport import SignedCall
from rollout.ecs.wire import HttpReply
from rollout.model.known_secrets import KnownSecrets
from rollout.model.observation import Described
from rollout.model.outcome import Refused
from rollout.model.plan import RestartKind
from tests.ecs.scripted import DATE, FAR, NOW, JumpClock, reply, talking_to
from tests.inprocess import InProcessTransport

REGION = "cn-beijing"
SECRET = "canary-Secret/With+Odd=Signs"
TOKEN = "canary-Token/With+Odd=Signs-and-quite-long-as-tokens-are=="

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda text: quote(text, safe=""),
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": json.dumps,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
}
FIELDS = ("Code", "Message", "RequestId", "HostId", "Recommend", "x-acs-request-id")
STATUSES = (200, 400, 403, 404, 429, 500, 503)


def what_is_secret(call: SignedCall) -> dict[str, str]:
    """Everything in or behind a call that must not be repeated."""
    signature = call.headers["authorization"].rpartition("Signature=")[2]
    return {"token": call.headers["x-acs-security-token"], "signature": signature, "key": SECRET}


def echo(
    field: str, which: str, encoding: str, status: int, lead: int
) -> Callable[[SignedCall], HttpReply]:
    """An endpoint that puts one secret of each call into one field of its reply."""

    def answer(call: SignedCall) -> HttpReply:
        text = "x" * lead + ENCODINGS[encoding](what_is_secret(call)[which])
        body = {"RequestId": "473469C7", "Code": "Echo", "Message": "m", "HostId": "h"}
        headers = {"Date": DATE}
        if field.startswith("x-acs"):
            headers[field] = text
        else:
            body[field] = text
        failed = {"InstanceId": "i-1", "Code": "200", "Success": "false", "Message": "m"}
        failed |= {name: body[name] for name in ("Code", "Message")}
        lists = {
            "Results": {"Result": [failed]},
            "InstanceResponses": {"InstanceResponse": [failed]},
            "Instances": {"Instance": []},
        }
        return HttpReply(status, headers, json.dumps(body | lists).encode())

    return answer


async def everything(client: EcsClient) -> list[object]:
    """The outcomes of all kinds of calls."""
    return [
        await client.attach_key_pair(REGION, "ops", ["i-1", "i-2"], not_after=FAR),
        await client.restart(RestartKind.REBOOT, REGION, ["i-1", "i-2"], not_after=FAR),
        await client.restart(RestartKind.START, REGION, ["i-1"], not_after=FAR),
        await client.import_key_pair(REGION, "ops", "ssh-ed25519 AAAA", not_after=FAR),
        await client.may_describe(REGION),
        await client.identify(),
        await client.observe_instances(REGION, ["i-1"]),
    ]


@given(
    st.sampled_from(FIELDS),
    st.one_of(
        st.tuples(st.sampled_from(["token", "key"]), st.sampled_from([*ENCODINGS])),
        st.tuples(st.just("signature"), st.just("plain")),  # of no use: a call is accepted once
    ),
    st.sampled_from(STATUSES),
    st.integers(0, 600),
)
def test_no_outcome_repeats_a_secret(
    field: str, planted: tuple[str, str], status: int, lead: int
) -> None:
    """Whatever field, whatever encoding, and wherever a long text is cut: not even a part stays."""
    known = KnownSecrets()
    clock = JumpClock(NOW)
    source = StaticSource("testid", Secret(SECRET), Secret(TOKEN))
    seen: list[SignedCall] = []
    answer = echo(field, *planted, status, lead)

    def handle(call: SignedCall) -> HttpReply:
        seen.append(call)
        return answer(call)

    client = EcsClient(
        InProcessTransport(handle),
        Keyring(source, clock, on_secret=known.learn),
        clock,
        known=known,
    )
    outcomes = repr(asyncio.run(everything(client)))

    assert seen
    for call in seen:
        secret, spell = what_is_secret(call)[planted[0]], ENCODINGS[planted[1]]
        assert spell(secret).strip('"')[:12] not in outcomes


def test_without_the_blanking_the_search_finds_the_token() -> None:
    """The search above is no check that cannot fail."""
    clock = JumpClock(NOW)
    keyring = Keyring(StaticSource("testid", Secret(SECRET), Secret(TOKEN)), clock)
    client = EcsClient(
        InProcessTransport(echo("Message", "token", "plain", 403, 0)), keyring, clock
    )

    assert TOKEN[:12] in repr(asyncio.run(everything(client)))


@pytest.mark.asyncio
async def test_headers_of_a_real_connection_are_read_after_the_blanking() -> None:
    """Servers spell `Date` and the pause after a throttle as they like: both are still found."""
    throttled = {"Date": DATE, "X-Acs-Retry-After": "7000"}
    body = json.dumps({"RequestId": "r", "Code": "Throttling.User", "Message": "m"})
    page = json.dumps({"RequestId": "r", "Instances": {"Instance": []}})
    scripts = reply(429, body, headers=throttled), reply(200, page, headers={"DATE": DATE})
    async with talking_to(*scripts) as (client, _):
        refused = await client.may_describe(REGION)
        described = await client.observe_instances(REGION, ["i-1"])

    assert isinstance(refused, Refused) and refused.retry_after_ms == 7_000
    assert isinstance(described, Described) and described.api_time == NOW


@pytest.mark.parametrize("text", ["ops-2026", "the secret of the emulator"])
def test_other_text_of_a_reply_stays(text: str) -> None:
    """Text that is no secret of the process is reported unchanged."""
    known = KnownSecrets()
    clock = JumpClock(NOW)
    keyring = Keyring(StaticSource("id", Secret("emulator")), clock, on_secret=known.learn)
    body = json.dumps({"RequestId": "r", "Code": "Denied", "Message": text}).encode()
    transport = InProcessTransport(lambda _: HttpReply(403, {"Date": DATE}, body))
    client = EcsClient(transport, keyring, clock, known=known)

    assert text in repr(asyncio.run(everything(client)))
