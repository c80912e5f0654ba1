"""Check everything that planning and applying need, and report all findings at once.

Called by `doctor`. Changes nothing: it sends Describe*, GetCallerIdentity and dry runs of restarts,
and asks the gates of a spec.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Final

from rollout.app import (
    about,
    clock_skew,
    connect,
    doctor_probes,
    former_keys,
    preflight,
    safety_rules,
    specs,
)
from rollout.app import plan as planning
from rollout.app.checks import Check, CheckState, Checkup
from rollout.app.notices import Notices, WaitingCall
from rollout.app.session import Session
from rollout.core.planning import planner
from rollout.ecs import proxies
from rollout.engines.service import Service
from rollout.errors import CODES, Problem
from rollout.inventory import sources
from rollout.model.event import ClockSkew
from rollout.model.instance import Inventory
from rollout.model.phrase import Phrase, Wording, say
from rollout.model.plan import Plan, RegionKey
from rollout.model.spec import Spec
from rollout.model.time import MINUTE, Duration, Instant, format_instant

SKEW_REFUSED_MS: Final = 15 * MINUTE
"""A signature is valid for 15 minutes (signature reference): other tools on this machine fail."""
FREE_WARNED, FREE_REFUSED = 1 << 30, 64 << 20
"""Bytes free in the runs directory. A journal has about 500 bytes for each instance."""
EXPIRY_WARNED_MS: Final = 60 * MINUTE


async def examine(
    session: Session,
    spec: Path | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    connected: Callable[..., AbstractAsyncContextManager[Service]] = connect.connect,
) -> list[Check]:
    """Return the findings in order. A spec adds its gates and proofs of login, its inventory, key
    pairs and restart permissions.

    Raises no RolloutError: each is a finding.
    """
    found = Checkup()
    _local(found, session, environment)
    loaded = None
    if spec is not None:
        with found.problems("spec"):
            loaded = specs.load_spec(spec)
            found.ok("spec", say("{spec} is valid", spec=spec))
    if loaded is not None:
        await doctor_probes.gates(found, loaded)
        await doctor_probes.logins(found, loaded)
    connection = replace(session.connection, allow_clock_skew=True)
    with found.problems("identity"):
        async with connected(connection, _WithoutWarnings(session.notices)) as service:
            await _account(found, service)
            now = service.clock.now()
            found.checks.append(clock(service.clock_skew, service.client.service_ahead_ms, now))
            if loaded is not None:
                await _spec(found, loaded, service)
    return found.checks


def clock(corrected: ClockSkew | None, ahead_ms: Duration, now: Instant) -> Check:
    """Compare this machine's clock with the service's. `corrected` is the difference that the
    connection already corrects; without one, `ahead_ms` is the difference.
    """
    found = corrected or ClockSkew(now, now + ahead_ms)
    skew_ms = abs(found.service - found.local)
    if skew_ms <= clock_skew.WARNED_MS:
        return Check(
            "clock",
            CheckState.OK,
            say("differs from the service's by {seconds:.1f} s", seconds=skew_ms / 1000),
        )
    text = clock_skew.sentence(found)
    if skew_ms <= SKEW_REFUSED_MS:
        return Check("clock", CheckState.WARNING, text, _NTP, "R0420")
    return Check("clock", CheckState.PROBLEM, text, _NTP, "R0414", CODES["R0414"].exit)


def disk(path: Path) -> Check:
    """Check the free space of the file system that has, or will have, the runs directory."""
    existing = next(one for one in (path.resolve(), *path.resolve().parents) if one.exists())
    free = shutil.disk_usage(existing).free
    text = say("{free:,.1f} GB free", free=free / 1e9)
    if free >= FREE_WARNED:
        return Check("disk", CheckState.OK, text)
    cure = say("free disk space, or name another --runs-dir")
    if free >= FREE_REFUSED:
        return Check("disk", CheckState.WARNING, text, cure, "R0802")
    return Check("disk", CheckState.PROBLEM, text, cure, "R0802", CODES["R0802"].exit)


_NTP = say("set this machine's clock (NTP)")


class _WithoutWarnings(Notices):
    """Forwards notices, except warnings: these are findings."""

    def __init__(self, inner: Notices) -> None:
        self._inner = inner

    def warn(self, problem: Problem) -> None:
        """Ignore the warning: endpoint and clock are checks of their own."""

    def say(self, text: Wording) -> None:
        """Forward the message."""
        self._inner.say(text)

    def waiting(self, call: WaitingCall | None, now: Instant) -> None:
        """Forward the waiting call."""
        self._inner.waiting(call, now)


def _local(found: Checkup, session: Session, environment: Mapping[str, str]) -> None:
    """Check this machine."""
    path, store = session.runs_dir, session.store
    with found.problems("runs directory"):
        if path.exists() or path.is_symlink():  # the store's check creates it
            found.warn("runs directory", *store.check(allow_unsafe=session.allow_unsafe_fs))
            found.ok("runs directory", say("{path} can be used", path=path))
        else:
            found.warn("runs directory", *store.check_new(allow_unsafe=session.allow_unsafe_fs))
            found.ok(
                "runs directory", say("{path} does not exist yet; `apply` creates it", path=path)
            )
    found.checks.append(disk(path))
    with found.problems("lock"):
        drivers = {run.id: run.driver() for run in store.runs() if not run.is_closed()}
        held = {run: driver for run, driver in drivers.items() if driver}
        for run, driver in held.items():
            text = say("run {run} is in progress: {driver}", run=run, driver=driver)
            found.warn("lock", Problem("R0603", text, cure=say("wait for it before you apply")))
        if not held:
            found.ok("lock", say("free: no run is in progress"))
    with found.problems("endpoint"):
        where = connect.endpoint_of(session.connection, environment)
        found.warn("endpoint", *connect.private_hosts(where))
        found.ok("endpoint", where.override or say("the service's own, by region"))
    with found.problems("safety policy"):
        rules = safety_rules.matched(safety_rules.CHANGES, environment)
        for one in rules:
            text = say("the aliyun CLI's policy wants a confirmation for {action}", action=one.text)
            if one.denied:
                text = say("the aliyun CLI's policy denies {action}", action=one.text)
            found.warn("safety policy", Problem("", text))
        if not rules:
            found.ok("safety policy", say("no rule of the aliyun CLI's policy is about rotations"))
    with found.problems("proxy"):
        proxy = proxies.read(environment).proxy
        found.ok("proxy", proxy.url if proxy else say("none"))


async def _account(found: Checkup, service: Service) -> None:
    """Check the identity and the expiry of its credentials."""
    mine, now = service.identity, service.clock.now()
    emulator = "EMULATOR: " if mine.emulator else ""
    found.ok(
        "identity",
        say(
            "{mark}account {account}, {arn} ({provider})",
            mark=emulator,
            account=mine.account,
            arn=mine.arn,
            provider=mine.provider,
        ),
    )
    if mine.arn.endswith(":root"):
        text = say("the AccessKey of the account itself has all permissions")
        cure = say("use a RAM user or role with the policy of `rollout doctor --policy apply`")
        found.warn("identity", Problem("", text, cure=cure))
    keyring = service.client.keyring
    keys = await keyring.get()
    text = (
        say("expire at {expiry}", expiry=format_instant(keys.expires_at))
        if keys.expires_at
        else say("do not expire")
    )
    if keys.token is not None and not keys.expires_at:
        text = say("are temporary, and their source does not name their expiry")
    renewed = keyring.source.blocks or keys.expires_at - now > EXPIRY_WARNED_MS
    if keys.token is None or (keys.expires_at and renewed):
        found.ok("credentials", text)
    else:
        cure = say("renew them, or use a source that renews them, such as a profile with a role")
        found.warn("credentials", Problem("R0415", text, cure=cure))


async def _spec(found: Checkup, spec: Spec, service: Service) -> None:
    """Check the inventory, key pairs and restart permissions of a spec."""
    with found.problems("inventory"):
        inventory = await sources.collect(spec, Path.cwd(), service.client, service.clock.now())
        count = len(inventory.instances) + len(inventory.lost)
        found.ok(
            "inventory", say("{count:,} instances; DescribeInstances is permitted", count=count)
        )
        await _inventory(found, spec, service, inventory)


async def _inventory(found: Checkup, spec: Spec, service: Service, inventory: Inventory) -> None:
    """Check the key pairs and restart permissions for these instances."""
    keys = []
    for site in planning.sites_of(inventory):
        with found.problems("key pair"):
            keys.append(await planning.read_key(service, spec, site))
            found.ok(
                "key pair",
                say("{region}: {text}", region=site.region, text=_key_text(spec, keys[-1])),
            )
    with found.problems("plan"):
        context = planner.PlanContext(about.tool(), (service.identity,), tuple(keys))
        plan = planner.make_plan(spec, inventory, {}, service.clock.now(), context)
        safety_rules.check_plan(plan)
        await _restarts(found, plan, service)
        await doctor_probes.former_logins(found, await former_keys.record(service, plan), service)
    found.unknown(
        "attach permission",
        say("AttachKeyPair and ImportKeyPair have no dry run"),
        say("compare the identity's policy with `rollout doctor --policy apply`"),
    )


def _key_text(spec: Spec, key: RegionKey) -> Phrase:
    name = spec.key_pair.name
    if not key.present:
        return say("{name} does not exist; `apply` imports it", name=name)
    return say(
        "{name} has the spec's public key, fingerprint {fingerprint}",
        name=name,
        fingerprint=key.fingerprint,
    )


async def _restarts(found: Checkup, plan: Plan, service: Service) -> None:
    """Check by dry runs whether the restarts of a plan are permitted."""
    restarts = preflight.restarts_of(plan)
    for one, instances in restarts.items():
        with found.problems("restart permission"):
            await preflight.check_restart(service, one, instances)
            found.ok(
                "restart permission",
                say("{region}: {action} is permitted", region=one.site.region, action=one.action),
            )
    if not restarts:
        found.unknown("restart permission", say("no instance needs rotation, so none can be tried"))
