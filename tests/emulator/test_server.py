"""The emulator on real loopback: what goes in and out over HTTP, faults on sockets, admin."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from rollout.ecs import sign, wire
from rollout.ecs.contract import Edition
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fault_plan import FaultPlan
from rollout.emulator.faults import Fault
from rollout.emulator.http import server
from tests.emulator import fixtures
from tests.emulator.fixtures import FRESH, REGION, ids

JSON_TYPE = "application/json;charset=utf-8"


class Caller:
    """A client with V1 signatures, as small as can be."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self._count = 0

    def signed(self, method: str, action: str, params: Mapping[str, str]) -> dict[str, str]:
        """All parameters of one call, signature included."""
        self._count += 1
        whole = {
            "Action": action,
            "Version": "2014-05-26",
            "Format": "JSON",
            "AccessKeyId": "emulator",
            "SignatureMethod": "HMAC-SHA1",
            "SignatureVersion": "1.0",
            "SignatureNonce": f"nonce-{self._count}",
            "Timestamp": wire.iso_seconds(server.wall_clock_ms()),
            **params,
        }
        return {**whole, "Signature": sign.v1_signature(method, whole, "emulator-secret")}

    async def __call__(self, action: str, **params: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON body of a POST."""
        signed = self.signed("POST", action, params)
        async with self.session.post(self.url, params=signed) as response:
            return response.status, json.loads(await response.read())

    async def attach(self, *instances: str) -> tuple[int, dict[str, Any]]:
        """AttachKeyPair."""
        return await self(
            "AttachKeyPair", RegionId=REGION, KeyPairName=FRESH, InstanceIds=ids(*instances)
        )

    async def admin(self, name: str) -> list[dict[str, Any]]:
        """A list of the admin endpoint."""
        async with self.session.get(f"{self.url}/_admin/{name}") as response:
            return [json.loads(line) for line in (await response.text()).splitlines()]

    async def set(self, name: str, value: object) -> int:
        """Status of a POST to the admin endpoint."""
        async with self.session.post(f"{self.url}/_admin/{name}", json=value) as response:
            return response.status


@asynccontextmanager
async def served(cloud: Cloud) -> AsyncIterator[Caller]:
    """A server with a caller in front of it."""
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        server.serve(cloud) as url,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        yield Caller(session, url)


def faulty(fault: str, **more: Any) -> Cloud:
    """Return a cloud with one fault in every call that it applies to."""
    return fixtures.cloud(faults=FaultPlan([Fault(fault, **more)]))


@pytest.mark.asyncio
async def test_get_and_post_query_and_form_json_and_xml() -> None:
    """One action in all the ways a client may ask for it."""
    async with served(fixtures.cloud()) as caller:
        signed = caller.signed("GET", "DescribeRegions", {"Format": "xml"})
        async with caller.session.get(caller.url, params=signed) as response:
            assert response.headers["Content-Type"] == "text/xml;charset=utf-8"
            root, node = wire.decode_xml(await response.read())
            assert root == "DescribeRegionsResponse"
            assert isinstance(node, dict)
            assert response.headers["x-acs-request-id"] == node["RequestId"]
        signed = caller.signed("POST", "DescribeRegions", {})
        async with caller.session.post(caller.url, data=signed) as response:
            assert response.headers["Content-Type"] == JSON_TYPE
            assert "Regions" in json.loads(await response.read())
        assert (await caller("DescribeRegions"))[0] == 200


@pytest.mark.asyncio
async def test_rows_are_the_same_in_xml() -> None:
    """Rows are written as JSON once; in XML they hold the same."""
    async with served(fixtures.cloud()) as caller:
        params = {"RegionId": REGION, "InstanceIds": ids("i-plain-1"), "Format": "XML"}
        signed = caller.signed("POST", "DescribeInstances", params)
        async with caller.session.post(caller.url, params=signed) as response:
            _, node = wire.decode_xml(await response.read())
        assert isinstance(node, dict)
        (row,) = wire.items(node["Instances"], "Instance")
        assert isinstance(row, dict)
        assert (row["KeyPairName"], row["IoOptimized"]) == (fixtures.FORMER, "true")
        assert wire.items(row["OperationLocks"], "LockReason") == []


@pytest.mark.asyncio
async def test_the_seed_page_over_http() -> None:
    """Edition `seed` answers XML by default, with RequestId and nothing else."""
    async with served(fixtures.cloud(Switches(edition=Edition.SEED))) as caller:
        params = {"RegionId": REGION, "KeyPairName": FRESH, "InstanceIds": ids("i-plain-1")}
        signed = caller.signed("GET", "AttachKeyPair", {**params, "Format": ""})
        async with caller.session.get(caller.url, params=signed) as response:
            text = await response.text()
        entry = (await caller.admin("ledger"))[0]
        assert text == (
            "<AttachKeyPairResponse>\n"
            f"    <RequestId>{entry['request_id']}</RequestId>\n"
            "</AttachKeyPairResponse>"
        )


@pytest.mark.asyncio
async def test_errors_carry_the_envelope_of_the_gateway() -> None:
    """RequestId, HostId, Code, Message, Recommend; also for what is no action at all."""
    async with served(fixtures.cloud()) as caller:
        status, body = await caller("MakeCoffee")
        assert (status, body["Code"]) == (404, "InvalidAction.NotFound")
        assert list(body) == ["RequestId", "HostId", "Code", "Message", "Recommend"]
        assert body["HostId"] == caller.url.removeprefix("http://")
        async with caller.session.post(caller.url) as response:
            assert response.status == 400
            assert wire.decode_xml(await response.read())[0] == "Error"


@pytest.mark.asyncio
async def test_the_admin_lists_what_is_hidden() -> None:
    """Ledger and instances as JSON lines, with the fields that checkers read."""
    async with served(fixtures.cloud()) as caller:
        _, body = await caller.attach("i-plain-1")
        (entry,) = await caller.admin("ledger")
        assert entry["request_id"] == body["RequestId"]
        assert set(entry) == {
            "at",
            "until",
            "effect",
            "region",
            "instance",
            "key_pair",
            "request_id",
        }
        first = (await caller.admin("instances"))[0]
        assert first == {
            "instance": "i-plain-1",
            "region": REGION,
            "zone": "cn-hangzhou-h",
            "os_type": "linux",
            "status": "Running",
            "key_pair": FRESH,
            "key_in_force": fixtures.FORMER,
            "boots": 1,
        }


@pytest.mark.asyncio
async def test_the_admin_turns_every_knob() -> None:
    """Faults, quotas, switches, users and instances can be changed while the cloud runs."""
    async with served(fixtures.cloud()) as caller:
        assert await caller.set("quotas", {"quotas": [{"calls_per_minute": 0}]}) == 200
        assert (await caller("DescribeRegions"))[1]["Code"] == "Throttling"
        assert await caller.set("quotas", {}) == 200
        assert await caller.set("faults", {"faults": [{"fault": "unavailable"}], "seed": 3}) == 200
        assert (await caller("DescribeRegions"))[0] == 503
        assert (await caller.admin("faults"))[0]["seed"] == 3
        assert await caller.set("faults", {}) == 200
        assert await caller.set("switches", {"edition": "seed"}) == 200
        assert "Results" not in (await caller.attach("i-plain-1"))[1]
        assert (await caller.admin("switches"))[0]["boot_time_ms"] == 5_000
        assert await caller.set("switches", {"edition": "current"}) == 200
        assert await caller.set("users", {"statements": [{"effect": "deny"}]}) == 200
        assert (await caller.attach("i-plain-1"))[1]["Code"] == "Forbidden.RAM"
        assert "secret" not in (await caller.admin("users"))[0]
        change = {"instance": "i-plain-2", "status": "Stopped", "locks": ["security"]}
        assert await caller.set("instances", change) == 200
        assert (await caller.admin("instances"))[1]["status"] == "Stopped"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "name, value",
    [
        ("faults", {"faults": [{"fault": "gremlins"}]}),
        ("faults", {"faults": [{"fault": "slow", "probability": 7}]}),
        ("faults", {"faults": [{"fault": "slow", "delay_ms": -1}]}),
        ("faults", {"faults": [{"fault": "slow", "actions": ["AtachKeyPair"]}]}),
        ("quotas", {"quotas": [{"calls_per_minute": -1}]}),
        ("quotas", {"quotas": [{"calls_per_minute": 1, "action": "AtachKeyPair"}]}),
        ("quotas", {"code": "InternalError"}),
        ("switches", {"colour": 1}),
        ("switches", {"boot_time_ms": -1}),
        ("switches", {"boot_spread_percent": 101}),
        ("switches", {"dry_run_status": 200}),
        ("quotas", {"quotas": 5}),
        ("instances", {"instance": "i-none", "status": "Stopped"}),
        ("instances", {"instance": "i-plain-1", "locks": ["odd"]}),
    ],
)
async def test_the_admin_refuses_nonsense(name: str, value: object) -> None:
    """400 and a sentence, and nothing changed."""
    async with served(fixtures.cloud()) as caller:
        assert await caller.set(name, value) == 400
        assert (await caller("DescribeRegions"))[0] == 200


@pytest.mark.asyncio
async def test_the_admin_is_not_for_browsers_and_knows_its_names() -> None:
    """A page of another origin is turned away; unknown names are not found."""
    async with served(fixtures.cloud()) as caller:
        url = f"{caller.url}/_admin/ledger"
        async with caller.session.get(url, headers={"Origin": "http://evil"}) as response:
            assert response.status == 403
        async with caller.session.get(f"{caller.url}/_admin/coffee") as response:
            assert response.status == 404


@pytest.mark.asyncio
@pytest.mark.parametrize("fault, effects", [("lost_after", 1), ("lost_before", 0)])
async def test_a_lost_reply_closes_the_connection(fault: str, effects: int) -> None:
    """The caller learns nothing; only the ledger knows whether it happened."""
    async with served(faulty(fault, actions=("AttachKeyPair",))) as caller:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await caller.attach("i-plain-1")
        await asyncio.sleep(0.01)
        assert len(await caller.admin("ledger")) == effects


@pytest.mark.asyncio
async def test_a_late_effect_arrives_after_its_caller_gave_up() -> None:
    """The connection is closed at once, the effect comes later, at its own instant."""
    async with served(faulty("late_effect", delay_ms=600, actions=("AttachKeyPair",))) as caller:
        asked_at = server.wall_clock_ms()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await caller.attach("i-plain-1")
        assert await caller.admin("ledger") == []
        for _ in range(100):
            await asyncio.sleep(0.05)
            if entries := await caller.admin("ledger"):
                break
        assert entries[0]["at"] >= asked_at + 600


@pytest.mark.asyncio
async def test_an_effect_can_come_after_the_callers_time_out() -> None:
    """The caller gets no reply while it waits; the effect happens later anyway."""
    armed = faulty("timeout_late", delay_ms=400, actions=("AttachKeyPair",))
    async with served(armed) as caller:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller.attach("i-plain-1"), 0.1)
        assert await caller.admin("ledger") == []
        for _ in range(100):
            await asyncio.sleep(0.05)
            if entries := await caller.admin("ledger"):
                break
        assert len(entries) == 1


@pytest.mark.asyncio
async def test_a_request_can_be_delivered_twice() -> None:
    """Two effects of one call: two request ids in the ledger, one of them in the answer."""
    async with served(faulty("twice")) as caller:
        status, body = await caller.attach("i-plain-1")
        await asyncio.sleep(0.01)
        entries = await caller.admin("ledger")
        assert status == 200
        assert len({entry["request_id"] for entry in entries}) == len(entries) == 2
        assert body["RequestId"] in {entry["request_id"] for entry in entries}


@pytest.mark.asyncio
async def test_a_hanging_call_ends_by_the_callers_time_out() -> None:
    """The effect happened, the connection stays open and silent."""
    async with served(faulty("timeout_after", actions=("AttachKeyPair",))) as caller:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(caller.attach("i-plain-1"), 0.5)
        assert len(await caller.admin("ledger")) == 1


@pytest.mark.asyncio
async def test_a_slow_answer_comes_after_its_effect() -> None:
    """The effect is immediate, the answer is not."""
    async with served(faulty("slow", delay_ms=800, actions=("AttachKeyPair",))) as caller:
        waiting = asyncio.ensure_future(caller.attach("i-plain-1"))
        await asyncio.sleep(0.05)
        assert len(await caller.admin("ledger")) == 1
        assert not waiting.done()
        assert (await waiting)[0] == 200


@pytest.mark.asyncio
async def test_a_cut_body_is_shorter_than_it_promised() -> None:
    """The connection ends in the middle of the body."""
    async with served(faulty("cut_body")) as caller:
        with pytest.raises(aiohttp.ClientPayloadError):
            await caller.attach("i-plain-1")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault, effects, raised",
    [
        ("reset_before", 0, aiohttp.ClientOSError),
        ("reset_after", 1, aiohttp.ClientOSError),
        ("reset_body", 1, aiohttp.ClientPayloadError),
    ],
)
async def test_a_connection_can_be_reset(fault: str, effects: int, raised: type[Exception]) -> None:
    """Before the effect, after it, and in the middle of the body: a reset, not a close."""
    async with served(faulty(fault, actions=("AttachKeyPair",))) as caller:
        with pytest.raises(raised) as caught:
            await caller.attach("i-plain-1")
        assert "reset" in str(caught.value).lower() + repr(caught.value.__cause__).lower()
        await asyncio.sleep(0.01)
        assert len(await caller.admin("ledger")) == effects


@pytest.mark.asyncio
async def test_a_dripping_body_keeps_every_reader_waiting() -> None:
    """No wait for the next bytes is long, the whole answer is: only a total time-out ends it."""
    async with served(faulty("drip_body", delay_ms=600, actions=("AttachKeyPair",))) as caller:
        params = {"RegionId": REGION, "KeyPairName": FRESH, "InstanceIds": ids("i-plain-1")}
        signed = caller.signed("POST", "AttachKeyPair", params)
        async with caller.session.post(caller.url, params=signed) as response:
            sizes = [len(chunk) async for chunk in response.content.iter_any()]
        assert len(sizes) > 4
        assert sum(sizes) == response.content_length


@pytest.mark.asyncio
async def test_the_answer_of_the_call_before_can_come_again() -> None:
    """Two calls mixed up on one connection: right form, wrong instances, a request id that was."""
    async with served(faulty("slow", actions=("StopInstance",))) as caller:
        first = await caller.attach("i-plain-1")
        assert await caller.set("faults", {"faults": [{"fault": "former_reply"}]}) == 200
        assert await caller.attach("i-plain-2") == first
        assert [entry["instance"] for entry in await caller.admin("ledger")] == [
            "i-plain-1",
            "i-plain-2",
        ]


@pytest.mark.asyncio
async def test_a_throttled_call_returns_its_retry_time() -> None:
    """The header is in milliseconds, the status 400."""
    async with served(faulty("throttle", delay_ms=250)) as caller:
        signed = caller.signed("POST", "DescribeRegions", {})
        async with caller.session.post(caller.url, params=signed) as response:
            assert (response.status, response.headers["x-acs-retry-after"]) == (400, "250")


@pytest.mark.asyncio
async def test_only_loopback_is_served_by_default() -> None:
    """An emulator with a published secret does not listen to the network by accident."""
    with pytest.raises(ValueError, match="not a loopback"):
        async with server.serve(fixtures.cloud(), "0.0.0.0"):  # noqa: S104 - that is the point
            pass


@pytest.mark.asyncio
async def test_the_clock_of_the_cloud_never_goes_back() -> None:
    """A wall clock that jumps back must not rewind the emulated cloud."""
    instants = iter([fixtures.NOW + 1_000, fixtures.NOW, fixtures.NOW + 2_000])
    front = server.HttpFrontEnd(fixtures.cloud(), lambda: next(instants))
    assert [front.now() for _ in range(3)] == [
        fixtures.NOW + 1_000,
        fixtures.NOW + 1_000,
        fixtures.NOW + 2_000,
    ]


@pytest.mark.asyncio
async def test_the_service_can_live_in_another_time() -> None:
    """Its clock and its Date header agree: a caller can measure the skew and sign again."""
    async with served(fixtures.cloud(Switches(clock_skew_ms=20 * 60_000))) as caller:
        signed = caller.signed("POST", "DescribeRegions", {})
        async with caller.session.post(caller.url, params=signed) as response:
            assert json.loads(await response.read())["Code"] == "InvalidTimeStamp.Expired"
            told = wire.parse_http_date(response.headers["Date"]) or 0
        skew = told - server.wall_clock_ms()
        assert abs(skew - 20 * 60_000) < 10_000
        stamp = {"Timestamp": wire.iso_seconds(server.wall_clock_ms() + skew)}
        assert (await caller("DescribeRegions", **stamp))[0] == 200


@pytest.mark.asyncio
async def test_the_clock_of_the_service_can_be_set_and_set_back() -> None:
    """Ahead, right, behind, at any time; a boot under way takes no longer for it."""
    async with served(fixtures.cloud(Switches(boot_time_ms=200))) as caller:
        assert (await caller("RebootInstance", InstanceId="i-plain-1"))[0] == 200
        for minutes, status in ((16, 400), (0, 200), (-16, 400), (-14, 200), (0, 200)):
            assert await caller.set("switches", {"clock_skew_ms": minutes * 60_000}) == 200
            assert (await caller("DescribeRegions"))[0] == status, minutes
        await asyncio.sleep(0.25)
        assert (await caller.admin("instances"))[0]["status"] == "Running"


@pytest.mark.asyncio
async def test_the_admin_may_forbid_clocks_that_are_ahead() -> None:
    """From then on, and until it is taken back."""
    async with served(fixtures.cloud()) as caller:
        for ahead_ms, status in ((0, 400), (900_000, 200)):
            assert await caller.set("switches", {"clock_ahead_ms": ahead_ms}) == 200
            stamp = {"Timestamp": wire.iso_seconds(server.wall_clock_ms() + 300_000)}
            assert (await caller("DescribeRegions", **stamp))[0] == status


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["slow", "throttle"])
async def test_an_answer_after_a_fault_has_the_date_of_the_cloud_too(fault: str) -> None:
    """With any fault in a call, its caller measures the skew by the cloud's clock."""
    armed = FaultPlan([Fault(fault, delay_ms=1)])
    async with served(fixtures.cloud(Switches(clock_skew_ms=5 * 60_000), armed)) as caller:
        stamp = {"Timestamp": wire.iso_seconds(server.wall_clock_ms() + 5 * 60_000)}
        signed = caller.signed("POST", "DescribeRegions", stamp)
        async with caller.session.post(caller.url, params=signed) as response:
            told = wire.parse_http_date(response.headers["Date"]) or 0
    assert abs(told - server.wall_clock_ms() - 5 * 60_000) < 10_000


@pytest.mark.asyncio
async def test_other_http_methods_are_refused() -> None:
    """GET and POST, nothing else."""
    async with served(fixtures.cloud()) as caller:
        signed = caller.signed("PUT", "DescribeRegions", {})
        async with caller.session.put(caller.url, params=signed) as response:
            assert response.status == 403
            assert json.loads(await response.read())["Code"] == "UnsupportedHTTPMethod"


def test_the_environment_points_everything_at_it() -> None:
    """Lines for a shell: rollout, the SDKs and the aliyun command line."""
    lines = server.environment("http://127.0.0.1:8473", "emulator", "emulator-secret")
    assert "export ROLLOUT_ENDPOINT=http://127.0.0.1:8473" in lines
    assert "export ALIBABA_CLOUD_ENDPOINT=127.0.0.1:8473" in lines
    assert "export ALIBABA_CLOUD_ACCESS_KEY_ID=emulator" in lines
    assert "export ALIBABA_CLOUD_IGNORE_PROFILE=TRUE" in lines
    assert "export ALIBABA_CLOUD_REGION_ID=cn-hangzhou" in lines
