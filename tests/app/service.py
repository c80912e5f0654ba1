"""An emulator in this process and connections to it, for tests of use cases."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from rollout.app import connect
from rollout.app.notices import Notices
from rollout.app.session import Connection
from rollout.ecs.credentials import EnvironmentSource
from rollout.ecs.transport import AiohttpTransport, SignedCall
from rollout.ecs.wire import HttpReply
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.http import server
from rollout.engines.service import Service

PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILeP+MwF0gebanefFT64H2TuBsQe30DyfHqy2yhRoUw8 new@example\n"
)
SPEC = """\
apiVersion: rollout/v1
kind: KeyRotation
metadata: { name: fleet }
spec:
  keyPair: { name: fleet-2026, publicKeyFile: new.pub, ensure: ENSURE }
  inventory: [ { source: ecs, regions: [cn-hangzhou, cn-shanghai] } ]
  restart: { settleWindow: 1s }
  budgets: [ { by: fleet, maxDown: 50% } ]
  waves: [ { name: all, size: rest } ]
"""


class ReadOnly(AiohttpTransport):
    """A transport that fails the test for any call that is not read-only."""

    sent: list[str] = []  # noqa: RUF012 - shared: the test reads what all instances sent

    async def send(self, call: SignedCall) -> HttpReply:
        self.sent.append(call.action)
        assert call.action.startswith("Describe") or call.action == "GetCallerIdentity"
        return await super().send(call)


def emulated(size: int = 40) -> EmulatedCloud:
    """An emulated cloud without faults: a synthetic fleet in two regions that boots fast."""
    now = server.wall_clock_ms()
    fleet = synthetic.build(size=size, seed=1, now=now, regions=("cn-hangzhou", "cn-shanghai"))
    return EmulatedCloud(fleet, Switches(boot_time_ms=100, stop_time_ms=50))


@contextlib.asynccontextmanager
async def connected(
    cloud: EmulatedCloud,
    transport: type[AiohttpTransport] = AiohttpTransport,
    environment: Mapping[str, str] = MappingProxyType({}),
    *,
    allow_clock_skew: bool = False,
    notices: Notices | None = None,
) -> AsyncIterator[Service]:
    """A connection to a cloud that is served on loopback, with the emulator's own key unless the
    environment has one."""
    async with server.serve(cloud) as url:
        settings = Connection(endpoint=url, emulator=True, allow_clock_skew=allow_clock_skew)
        with pytest.MonkeyPatch.context() as patch:
            if environment:  # keys of an emulated user, which are not sent in clear otherwise
                source = EnvironmentSource(environment)
                patch.setattr(connect, "source_of", lambda *_: source)
            report = notices or Notices()
            async with connect.connect(settings, report, open_transport=transport) as service:
                yield service


def write_spec(folder: Path, *, ensure: str = "import", text: str = SPEC) -> Path:
    """The spec and its key in a project folder."""
    (folder / "new.pub").write_text(PUBLIC_KEY, "utf-8")
    spec = folder / "fleet.yaml"
    spec.write_text(text.replace("ENSURE", ensure), "utf-8")
    return spec
