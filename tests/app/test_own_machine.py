"""The machine that runs rollout: found by its metadata, restarted as the last one."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp import web

from rollout.app import own_machine
from rollout.errors import ConflictError, Exit
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
        assert await own_machine.find(service, address) == ""
        assert not calls
        service.identity = msgspec.structs.replace(service.identity, emulator=False)
        assert await own_machine.find(service, address) == served.ID


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
