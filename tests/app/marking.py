"""A cloud whose key pairs carry marks, and runs that respect them. Used by tests of marks."""

from __future__ import annotations

from pathlib import Path

import anyio

from rollout.app import execute
from rollout.app import plan as planning
from rollout.app.notices import Notices
from rollout.app.plan_file import SavedPlan
from rollout.app.session import Session
from rollout.ecs.transport import AiohttpTransport, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.http import server
from rollout.errors import Exit, Problem
from rollout.model.event import Actor, RunStarted
from rollout.model.fence import TAG_KEY, Fence, origin_of, read
from tests.app import service as stage
from tests.app.test_preflight import RUNS

KEY = "fleet-2026"
REGIONS = ("cn-hangzhou", "cn-shanghai")


class Watched(AiohttpTransport):
    """Records the calls about tags."""

    tagging: list[str] = []  # noqa: RUF012 - shared: the test reads what all instances sent

    async def send(self, call: SignedCall) -> HttpReply:
        reply = await super().send(call)
        if "agResources" in call.action:
            self.tagging.append(f"{call.action} {reply.status}")
        return reply


class Heard(Notices):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def warn(self, problem: Problem) -> None:
        self.codes.append(problem.code)


def clouded(*, with_key: bool = True) -> EmulatedCloud:
    """A cloud of twelve instances whose regions have the new key pair."""
    cloud = stage.emulated(12)
    for region in REGIONS if with_key else ():
        cloud.pairs.add(region, KEY, stage.PUBLIC_KEY.strip(), 0)
    return cloud


def began(run: str, at: int = 0) -> RunStarted:
    """The first event of a journal; another instant makes another journal of the same plan."""
    return RunStarted("1.0", run, "", "", "", 1, Actor("li.wei", "", "ops-1", 7, ""), at)


def mark(
    cloud: EmulatedCloud,
    run: str,
    left_ms: int,
    region: str = REGIONS[1],
    started: RunStarted | None = None,
) -> None:
    """Let a process mark the key pair of a region: one elsewhere, or one of the journal that began
    with `started`.
    """
    pair = cloud.pairs.find(region, KEY)
    assert pair is not None
    origin, until = origin_of(started or began(run, -1)), server.wall_clock_ms() + left_ms
    pair.tags = ((TAG_KEY, Fence(run, origin, 1, until, "zhou.min@ops-2").text()),)


def marks_on(cloud: EmulatedCloud) -> list[Fence | None]:
    """The marks on the key pair in each region; None for a region without one."""
    pairs = [cloud.pairs.find(region, KEY) for region in REGIONS]
    return [read(dict(pair.tags).get(TAG_KEY, "")) if pair else None for pair in pairs]


async def all_marked(cloud: EmulatedCloud) -> None:
    """Wait until the key pair of each region is marked."""
    while None in marks_on(cloud):  # noqa: ASYNC110 - the emulator has no event
        await anyio.sleep(0.01)


async def planned(cloud: EmulatedCloud, project: Path, text: str = stage.SPEC) -> SavedPlan:
    """A plan of the whole cloud."""
    async with stage.connected(cloud) as service:
        spec = stage.write_spec(project, text=text)
        return (await planning.create(spec, service, RUNS)).saved


async def applied(
    cloud: EmulatedCloud,
    saved: SavedPlan,
    heard: Heard,
    *,
    fenced: bool = True,
    transport: type[AiohttpTransport] = Watched,
) -> Exit:
    """Apply the plan until its run ends; return the exit code."""
    Watched.tagging.clear()
    session = Session(allow_unsafe_fs=True, notices=heard, fence=fenced)
    async with (
        stage.connected(cloud, transport) as service,
        execute.hold_runs(session, service.clock.now()) as runner,
    ):
        return (await runner.begin(saved, service)).exit
