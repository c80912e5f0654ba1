"""The client against the emulator, over real loopback connections."""

import contextlib
from collections.abc import AsyncIterator

import pytest

from rollout.ecs import replies
from rollout.ecs.client import EcsClient
from rollout.ecs.credentials import Keyring, Secret, StaticSource
from rollout.ecs.transport import AiohttpTransport
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.http import server
from rollout.engines.clock import LoopClock
from rollout.model.instance import Instance, OsFamily, Status
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Done, Refused, RetryClass
from rollout.model.plan import RestartKind
from tests.ecs.scripted import FAR, client_on

PUBLIC_KEY = synthetic.former_public_key(99, "cn-shanghai")
REGION = "cn-hangzhou"


@contextlib.asynccontextmanager
async def emulated(size: int = 130, secret: str = "emulator-secret") -> AsyncIterator[EcsClient]:
    """A client of an emulated fleet in one region, whose boots are over at once."""
    clock = LoopClock()
    fleet = synthetic.build(size=size, seed=7, now=clock.now(), regions=[REGION])
    cloud = Cloud(fleet, Switches(boot_time_ms=1))
    keyring = Keyring(StaticSource("emulator", Secret(secret)), clock)
    async with server.serve(cloud) as url, AiohttpTransport() as transport:
        yield client_on(transport, clock, endpoint=url, keyring=keyring)


async def whole_fleet(client: EcsClient) -> list[Instance]:
    """All pages of the region."""
    page = await client.describe_instances(REGION)
    assert isinstance(page, Described)
    found = list(page.instances)
    while page.next_token:
        following = await client.describe_instances(REGION, next_token=page.next_token)
        assert isinstance(following, Described)
        page = following
        found += page.instances
    return found


@pytest.mark.asyncio
async def test_identity_and_regions_are_read() -> None:
    """The account comes from GetCallerIdentity, which an emulator serves next to ECS."""
    async with emulated() as client:
        identity = await client.identify()
        regions = await client.describe_regions()
        assert isinstance(identity, replies.CallerIdentity)
        assert identity.account.isdecimal() and client.account == identity.account
        assert isinstance(regions, tuple) and REGION in [region.id for region in regions]


@pytest.mark.asyncio
async def test_pages_hold_the_whole_fleet_once() -> None:
    """Token paging visits every instance once and reads what the planner needs."""
    async with emulated(130) as client:
        fleet = await whole_fleet(client)
        assert len(fleet) == len({row.id for row in fleet}) == 130
        assert {row.region for row in fleet} == {REGION}
        families = [row.os for row in fleet]
        assert OsFamily.LINUX in families and OsFamily.WINDOWS in families
        assert all(row.started_at % 60_000 == 0 and row.image and row.zone for row in fleet)
        assert any(row.locks for row in fleet) and any(row.tags for row in fleet)


@pytest.mark.asyncio
async def test_a_key_is_imported_attached_and_seen() -> None:
    """Import, attach to fifty, observe: each record has the new name."""
    async with emulated(130) as client:
        fleet = await whole_fleet(client)
        linux = [
            row.id
            for row in fleet
            if row.os is OsFamily.LINUX and not row.locks and row.io_optimized
        ][:50]
        assert await client.observe_key_pair(REGION, "ops") == KeyDescribed("", "", _any(), False)
        imported = await client.import_key_pair(REGION, "ops", PUBLIC_KEY, not_after=FAR)
        assert isinstance(imported, Done) and imported.request_id
        key = await client.observe_key_pair(REGION, "ops")
        assert isinstance(key, KeyDescribed) and key.found
        assert key.public_key.split()[:2] == PUBLIC_KEY.split()[:2]
        answer = await client.attach_key_pair(REGION, "ops", linux, not_after=FAR)
        assert isinstance(answer.outcome, Done) and answer.items == {}
        seen = await client.observe_instances(REGION, linux)
        assert isinstance(seen, Described)
        assert {row.id: row.key_pair for row in seen.instances} == dict.fromkeys(linux, "ops")


@pytest.mark.asyncio
async def test_windows_among_good_ones_is_its_own_refusal() -> None:
    """Of a mixed batch only the Windows instance is refused, with the class of a fact."""
    async with emulated(60) as client:
        fleet = await whole_fleet(client)
        windows = next(row.id for row in fleet if row.os is OsFamily.WINDOWS and not row.locks)
        good = next(row.id for row in fleet if row.os is OsFamily.LINUX and not row.locks)
        await client.import_key_pair(REGION, "ops", PUBLIC_KEY, not_after=FAR)
        answer = await client.attach_key_pair(REGION, "ops", [good, windows], not_after=FAR)
        assert isinstance(answer.outcome, Done) and list(answer.items) == [windows]
        refused = answer.items[windows]
        assert isinstance(refused, Refused)
        assert (refused.code, refused.retry) == (
            "DependencyViolation.WindowsInstance",
            RetryClass.FACT,
        )


@pytest.mark.asyncio
async def test_restarts_single_and_many_are_understood() -> None:
    """One id uses RebootInstance, more use RebootInstances; a wrong state is refused alone."""
    async with emulated(130) as client:
        fleet = await whole_fleet(client)
        running = [row.id for row in fleet if row.status is Status.RUNNING and not row.locks]
        stopped = [row.id for row in fleet if row.status is Status.STOPPED and not row.locks]
        one = await client.restart(RestartKind.REBOOT, REGION, running[:1], not_after=FAR)
        many = await client.restart(
            RestartKind.REBOOT, REGION, [*running[1:4], stopped[0]], not_after=FAR
        )
        start = await client.restart(RestartKind.START, REGION, stopped[:1], not_after=FAR)
        assert isinstance(one.outcome, Done) and one.items == {}
        assert isinstance(many.outcome, Done) and list(many.items) == [stopped[0]]
        refused = many.items[stopped[0]]
        assert isinstance(refused, Refused) and refused.retry is RetryClass.STATE
        assert isinstance(start.outcome, Done)
        states = await client.describe_instance_status(REGION, [running[0], stopped[0]])
        assert isinstance(states, StatusesDescribed)
        assert sorted(states.statuses) == sorted([running[0], stopped[0]])


@pytest.mark.asyncio
async def test_permission_to_describe_is_asked_by_dry_run() -> None:
    """A passing dry run comes as an error and is a yes."""
    async with emulated(10) as client:
        assert isinstance(await client.may_describe(REGION), Done)


@pytest.mark.asyncio
async def test_key_pairs_are_read_page_after_page_and_deleted_by_name() -> None:
    """A hundred and one key pairs are three pages; deleting one that is gone is no error."""
    async with emulated(10) as client:
        before = await client.list_key_pairs(REGION)
        assert isinstance(before, tuple)
        for number in range(101):
            made = await client.import_key_pair(REGION, f"k-{number}", PUBLIC_KEY, not_after=FAR)
            assert isinstance(made, Done)
        listed = await client.list_key_pairs(REGION)
        assert isinstance(listed, tuple)
        assert {one.name for one in listed} - {one.name for one in before} == {
            f"k-{number}" for number in range(101)
        }
        assert all(one.fingerprint and one.created_at for one in listed)
        for _ in range(2):
            assert isinstance(await client.delete_key_pair(REGION, "k-7", not_after=FAR), Done)
        seen = await client.observe_key_pair(REGION, "k-7")
        assert isinstance(seen, KeyDescribed) and not seen.found


@pytest.mark.asyncio
async def test_a_wrong_secret_is_denied_without_repeating_the_request() -> None:
    """The gateway's text repeats the signed request; the outcome does not."""
    async with emulated(10, secret="wrong") as client:
        refused = await client.get_caller_identity()
        assert isinstance(refused, Refused)
        assert (refused.code, refused.retry) == ("SignatureDoesNotMatch", RetryClass.DENIED)
        assert refused.message == "the signature does not match"


class _any(int):  # noqa: N801 - reads like the wildcard it is
    """Equal to every instant."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int)

    def __hash__(self) -> int:
        return 0
