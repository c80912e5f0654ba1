"""The machine that runs rollout: found by its metadata, restarted as the last one."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web

from rollout.app import own_machine
from rollout.ecs import interfaces
from rollout.ecs.interfaces import Interface
from rollout.emulator.cloud.users import Statement, User
from rollout.errors import ConflictError, Exit
from rollout.model.observation import Described
from rollout.model.site import Site
from tests.app import factory
from tests.app import service as stage
from tests.ecs import test_metadata as served


@pytest.mark.asyncio
async def test_an_emulator_is_never_on_this_machine() -> None:
    """With an emulator the metadata service is not called; with the real service it is."""
    calls = []

    async def reply(request: web.BaseRequest) -> web.StreamResponse:
        calls.append(request.path)
        return await served.open_to_all(request)

    async with stage.connected(stage.emulated()) as service, served.service(reply) as address:
        assert service.identity.emulator
        assert await own_machine.find(service, [], address) == ""
        assert not calls
        service.identity = msgspec.structs.replace(service.identity, emulator=False)
        assert await own_machine.find(service, [], address) == served.ID


@pytest.mark.asyncio
async def test_without_metadata_the_addresses_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose metadata service is off is the instance with its private address and its MAC
    address. An equal private address alone is that of another network.
    """
    cloud = stage.emulated()
    async with stage.connected(cloud) as service, served.service(served.login_page) as address:
        service.keep_addresses()
        sites = [Site(service.identity.account, name) for name in ("cn-hangzhou", "cn-shanghai")]
        page = await service.client.describe_instances("cn-shanghai")
        assert isinstance(page, Described)
        wanted = page.instances[3].id
        private = (await service.addresses_of(sites[1], wanted)).private
        listed = await service.client.find_by_address("cn-shanghai", [private])
        assert isinstance(listed, dict)
        (mac,) = listed[wanted]

        async def found(*local: Interface) -> str:
            return await own_machine.by_address(service, sites, local)

        assert (
            await found(Interface("172.17.0.1", "02:42:00:00:00:01"), Interface(private, mac))
            == wanted
        )
        assert await found(Interface(private, "02:42:00:00:00:01")) == ""
        assert await found(Interface("172.17.0.1", mac)) == ""
        assert await found() == ""

        service.identity = msgspec.structs.replace(service.identity, emulator=False)
        monkeypatch.setattr(interfaces, "local", lambda: [Interface(private, mac)])
        assert await own_machine.find(service, sites, address) == wanted


@pytest.mark.asyncio
async def test_a_site_that_does_not_answer_has_no_own_machine() -> None:
    """The search is no reason to refuse a plan: other checks report the missing permission."""
    cloud = stage.emulated()
    async with stage.connected(cloud) as service:
        denied = Statement("deny", ("ecs:DescribeInstances",))
        cloud.access.put(User(statements=(Statement("allow"), denied)))
        site = Site(service.identity.account, "cn-hangzhou")
        assert await own_machine.by_address(service, [site], [Interface("10.0.0.1", "m")]) == ""


def test_a_plan_that_restarts_this_machine_early_is_refused() -> None:
    """R0372, unless this machine is the last target or no target at all."""
    plan = factory.plan()
    targets = [target.instance for target in plan.targets()]

    own_machine.check(plan, "")
    own_machine.check(plan, "i-elsewhere")
    own_machine.check(plan, targets[-1])
    own_machine.check(msgspec.structs.replace(plan, waves=()), targets[0])
    with pytest.raises(ConflictError) as caught:
        own_machine.check(plan, targets[0])
    assert caught.value.exit is Exit.CONFLICT
    assert caught.value.problems[0].code == "R0372"
    assert targets[0] in caught.value.problems[0].message
