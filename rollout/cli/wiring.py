"""From options to adapters: the one place where the command line builds its connections.

Called by the commands that talk to the service. What it gives cannot change anything until
`allow_changes` was called: planning sends Describe* and GetCallerIdentity, nothing else, ever.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from rollout import logs
from rollout.cli import refusal, skew, waiting
from rollout.cli.options import EMULATOR_ADDRESS, Cloud, Common, duration
from rollout.cli.terminal import Terminal
from rollout.ecs import credential_sources, credentials, endpoints, governor
from rollout.ecs import look as reading
from rollout.ecs.client import EcsClient
from rollout.ecs.patience import Patience
from rollout.ecs.transport import AiohttpTransport, Transport
from rollout.engines.clock import LoopClock
from rollout.engines.service import Gate, Service
from rollout.errors import UsageError
from rollout.model.event import ClockSkew
from rollout.model.plan import Identity

EMULATOR_KEY = ("emulator", "emulator-secret")
"""Key id and secret that `rollout emulator` accepts unless told otherwise."""


@asynccontextmanager
async def connect(
    cloud: Cloud,
    terminal: Terminal | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
    open_transport: Callable[[], Transport] = AiohttpTransport,
) -> AsyncIterator[Service]:
    """A connection whose identity is known; `terminal` shows what it waits for, and warnings.

    AccessError, ConfigError, UsageError where there is none.
    """
    terminal = terminal or Terminal.of(Common())
    where = endpoint_of(cloud)
    clock, gate = LoopClock(), Gate()
    source = source_of(cloud, where, environment)
    timeout_ms = duration(cloud.api_timeout, "--api-timeout")
    transport = open_transport()
    pace = governor.EMULATOR_RATE_START if where.emulated else governor.RATE_START

    def client_of(patience: Patience) -> EcsClient:
        return EcsClient(
            transport,
            credentials.Keyring(source, clock, on_secret=logs.hide),
            clock,
            endpoints=where,
            governor=governor.Governor(clock, rate_start=pace),
            patience=patience,
            stopped=gate.refuses,
        )

    patience = Patience(clock, timeout_ms)
    client = client_of(patience)
    try:
        async with waiting.shown(patience, terminal):
            identity = await _identify(client, where)
        skewed = _follow_service(client, clock, cloud, terminal)
        if skewed is not None:  # pace, fuses, keys and patience remember times of the former clock
            patience = Patience(clock, timeout_ms)
            client = client_of(patience)
            client.account = identity.account
        async with waiting.shown(patience, terminal):
            yield Service(client, clock, identity, gate, skewed)
    finally:
        await client.aclose()


def _follow_service(
    client: EcsClient, clock: LoopClock, cloud: Cloud, terminal: Terminal
) -> ClockSkew | None:
    """Let the clock show the service's time where the two differ much. AccessError R0409."""
    now = clock.now()
    found = ClockSkew(now, now + client.service_ahead_ms)
    warning = skew.check(found, allowed=cloud.allow_clock_skew)
    if not warning:
        return None
    terminal.say(f"warning[R0420]: {warning}.")
    clock.follow(client.service_ahead_ms)
    return found


def endpoint_of(cloud: Cloud) -> endpoints.Endpoints:
    """Where calls go. ConfigError R0010 for an address that is not acceptable."""
    if cloud.endpoint is None:
        return endpoints.parse(EMULATOR_ADDRESS) if cloud.emulator else endpoints.Endpoints()
    found = endpoints.parse(cloud.endpoint)
    if cloud.emulator and not found.emulated:
        raise UsageError.of(
            "R0002",
            f"--emulator contradicts the endpoint {cloud.endpoint}: it is not on this machine",
            help="leave one of the two out; ROLLOUT_EMULATOR and ROLLOUT_ENDPOINT count as well",
        )
    return found


def source_of(
    cloud: Cloud, where: endpoints.Endpoints, environment: Mapping[str, str]
) -> credentials.Source:
    """Where keys come from. The emulator gets its own key, never those of a real account."""
    keys_named = cloud.profile is not None or credentials.EnvironmentSource.is_set(environment)
    if where.emulated and (cloud.emulator or not keys_named):
        key_id, secret = EMULATOR_KEY
        return credentials.StaticSource(key_id, credentials.Secret(secret), name="emulator key")
    return credential_sources.choose(environment, cloud.profile)


async def _identify(client: EcsClient, where: endpoints.Endpoints) -> Identity:
    await client.keyring.get()  # its own error says more than that of a call that was not sent
    found = await client.identify()
    if not isinstance(found, reading.Identity):
        raise refusal.explain(found, "GetCallerIdentity", where.sts())
    return Identity(found.account, found.arn, client.keyring.source.name, where.emulated)
