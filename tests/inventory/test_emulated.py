"""The inventory with the emulator, through the real client over loopback."""

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from rollout import specfile
from rollout.ecs.client import EcsClient
from rollout.ecs.transport import AiohttpTransport
from rollout.emulator.cloud.regions import DEFAULT
from rollout.emulator.cloud.users import Access, Statement, User
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.http import server
from rollout.engines.clock import LoopClock
from rollout.errors import Exit, RolloutError
from rollout.inventory import sources
from rollout.model import selector
from rollout.model.spec import EcsSource, FileSource, KeyPairSpec, Source, Spec
from tests import tree
from tests.ecs.scripted import client_on, static_keys

pytestmark = pytest.mark.asyncio
BLIND = (Statement("allow"), Statement("deny", ("ecs:DescribeInstances",)))


@contextlib.asynccontextmanager
async def emulated(
    size: int, *, regions: Sequence[str] = DEFAULT, statements: tuple[Statement, ...] = ()
) -> AsyncIterator[EcsClient]:
    """Yield a client of an emulated fleet. `statements` replace the permission for all actions."""
    clock = LoopClock()
    fleet = synthetic.build(size=size, seed=7, now=clock.now(), regions=regions)
    user = User(statements=statements or (Statement("allow"),))
    cloud = Cloud(fleet, access=Access([user]))
    async with server.serve(cloud) as url, AiohttpTransport() as transport:
        yield client_on(
            transport, clock, endpoint=url, keyring=static_keys(clock, user.key_id, user.secret)
        )


def spec(*inventory: Source) -> Spec:
    """Return a spec with these sources."""
    return Spec("quick", KeyPairSpec("k", "ssh-ed25519 A"), inventory, "")


async def test_the_quickstart_reads_the_emulated_fleet() -> None:
    """The quickstart spec finds 600 instances in three regions, and its rules match."""
    wanted = specfile.load(tree.ROOT / "plans" / "quickstart.yaml", tree.ROOT).spec

    async with emulated(600) as client:
        inventory = await sources.collect(wanted, tree.ROOT, client, 7)

    assert len(inventory.instances) == 600
    assert sorted({one.region for one in inventory.instances}) == sorted(DEFAULT)
    assert inventory.calls == 6
    rule = wanted.exclude[0].select
    assert rule is not None
    assert 0 < sum(rule.matches(one.tags) for one in inventory.instances) < 60


async def test_a_selector_finds_the_same_with_and_without_the_service(tmp_path: Path) -> None:
    """Tags that the service filters and tags that are matched locally give the same fleet."""
    select = selector.parse("env=prod, tier in (web,app), !quorum")

    async with emulated(300) as client:
        whole = await sources.collect(spec(EcsSource(DEFAULT)), tmp_path, client, 7)
        chosen = await sources.collect(spec(EcsSource(DEFAULT, select)), tmp_path, client, 7)

    assert 0 < len(chosen.instances) < 300
    assert chosen.instances == tuple(one for one in whole.instances if select.matches(one.tags))


async def test_a_file_of_ids_is_hydrated(tmp_path: Path) -> None:
    """Ids of a file are read from the service; an id that it does not know is lost."""
    async with emulated(250) as client:
        whole = await sources.collect(spec(EcsSource(DEFAULT)), tmp_path, client, 7)
        rows = [{"id": one.id, "region": one.region} for one in whole.instances]
        rows.append({"id": "i-bp1gone", "region": DEFAULT[0]})
        (tmp_path / "ids.json").write_text(json.dumps(rows))

        named = await sources.collect(spec(FileSource("json", "ids.json")), tmp_path, client, 7)

    assert named.instances == whole.instances
    assert [one.id for one in named.lost] == ["i-bp1gone"]


async def test_a_missing_permission_is_detected(tmp_path: Path) -> None:
    """The service lists no instance, the dry run is denied, and the command ends with exit 4."""
    async with emulated(20, statements=BLIND) as client:
        with pytest.raises(RolloutError) as caught:
            await sources.collect(spec(EcsSource(DEFAULT)), tmp_path, client, 7)

    assert caught.value.exit is Exit.DENIED
    assert [each.code for each in caught.value.problems] == ["R0211"] * 3
    assert all(each.request_id for each in caught.value.problems)


async def test_an_empty_region_is_accepted_with_permission(tmp_path: Path) -> None:
    """With the permission, an empty region is accepted next to a region with instances."""
    async with emulated(20, regions=DEFAULT[:1]) as client:
        inventory = await sources.collect(spec(EcsSource(DEFAULT)), tmp_path, client, 7)

    assert len(inventory.instances) == 20
