"""A rotation that runs every quarter: two quarters of it in virtual time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rollout.app import approvals, audit, scheduler, schedules
from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud as EmulatedCloud
from rollout.emulator.fleet import synthetic
from rollout.model.schedule_event import ScheduleEvent, TickEnded, TickOutcome, TickPlanned
from rollout.model.time import HOUR, MINUTE, Instant
from rollout.sim.time import loop
from tests.app.virtual import IDLE_MS, VirtualService

SPEC = """\
apiVersion: rollout/v1
kind: KeyRotation
metadata: { name: fleet }
spec:
  keyPair:
    name: "ops-{year}q{quarter}"
    publicKeyFile: "keys/ops-{year}q{quarter}.pub"
    ensure: import
  inventory: [ { source: ecs, regions: [cn-hangzhou, cn-shanghai] } ]
  budgets: [ { by: fleet, maxDown: 50% } ]
  waves: [ { name: canary, size: 1, bake: 1m }, { name: all, size: rest } ]
  windows: { timeZone: Asia/Shanghai, allow: [ { from: "10:30", to: "16:00" } ] }
  approvals: { required: 1, keys: [li.wei.vkey] }
  notify: [ { to: "http://127.0.0.1:9/hook", on: [started, closed], format: cloudevents } ]
  schedule: { cron: "30 9 20 1,4,7,10 *", timeZone: Asia/Shanghai, onDue: planAndApply }
"""
QUARTERS = {1: 1, 2: 4}
"""The month in which each quarter's tick is due."""


def at(month: int, hour: int, minute: int) -> Instant:
    """Return an instant of the 20th of a month of 2027, by the clocks of the spec."""
    zone = ZoneInfo("Asia/Shanghai")
    return int(datetime(2027, month, 20, hour, minute, tzinfo=zone).timestamp() * 1000)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a spec, a key pair for each quarter and one approver."""
    monkeypatch.chdir(tmp_path)
    Path("fleet.yaml").write_text(SPEC, "utf-8")
    Path("keys").mkdir()
    for quarter in QUARTERS:
        Path(f"keys/ops-2027q{quarter}.pub").write_bytes(public_key())
    approvals.new_key("li.wei", tmp_path / "li.wei")
    return tmp_path


def public_key() -> bytes:
    """A new public key in the format of OpenSSH."""
    made = Ed25519PrivateKey.generate().public_key()
    form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return made.public_bytes(*form) + b"\n"


def test_a_quarterly_rotation_runs_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each quarter: due, planned, refused without an approval, approved, begun in the window,
    applied, notified, and due again in the next quarter. Each quarter has another process.
    """
    begin = at(1, 9, 0)
    fleet = synthetic.build(size=20, seed=1, now=begin, regions=("cn-hangzhou", "cn-shanghai"))
    service = VirtualService(EmulatedCloud(fleet, Switches(boot_time_ms=30_000)), begin)

    async def quarters() -> None:
        service.install(monkeypatch)
        schedules.add(Path("fleet.yaml"), service.session, lambda _: None)
        for quarter, month in QUARTERS.items():
            await service.until(at(month, 9, 0))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(scheduler.serve, lambda: service.session)
                await _quarter(service, quarter, month)
                tasks.cancel_scope.cancel()

    loop.run(quarters)


async def _quarter(service: VirtualService, quarter: int, month: int) -> None:
    """Wait for the tick of a quarter, approve its plan, and check what happens until its end."""
    due, opens = at(month, 9, 30), at(month, 10, 30)
    effects, messages = len(service.cloud.ledger), len(service.posted)
    assert schedules.upcoming("fleet", service.session, 1) == (due,)

    await service.until(due + IDLE_MS)
    planned = _last(service)
    assert isinstance(planned, TickPlanned) and planned.tick == due
    await service.until(opens - 10 * MINUTE)
    assert (_last(service), len(service.cloud.ledger)) == (planned, effects)  # not approved
    approvals.approve(Path(planned.file), Path("li.wei"))

    await service.until(opens + HOUR)
    ended = _last(service)
    assert isinstance(ended, TickEnded) and ended.tick == due
    assert (ended.outcome, ended.exit) == (TickOutcome.CLOSED, 0)
    new = list(service.cloud.ledger)[effects:]
    restarted = [one.instance for one in new if one.effect in ("reboot", "start")]
    assert restarted and len(restarted) == len(set(restarted))
    assert min(one.at for one in new if one.instance) >= opens
    assert service.instances_with(f"ops-2027q{quarter}") == set(restarted)
    sent = [event["type"] for event in service.posted[messages:]]
    assert sent == ["rollout.run.started", "rollout.run.closed"]
    assert not audit.verify_journal(service.session.runs_dir, ended.run, None).problems
    assert schedules.upcoming("fleet", service.session, 1) == (at(month + 3, 9, 30),)


def _last(service: VirtualService) -> ScheduleEvent:
    return schedules.history("fleet", service.session)[-1].event
