"""Open connections to the service.

Called by the use cases that call the service. A connection cannot change anything until
`allow_changes` was called: planning sends Describe* and GetCallerIdentity only.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

from rollout import logs
from rollout.app import clock_skew, safety_rules, waiting
from rollout.app.notices import Notices
from rollout.app.session import Connection
from rollout.ecs import (
    credential_sources,
    credentials,
    endpoints,
    external,
    governor,
    proxies,
    refusal,
    replies,
    vendor,
)
from rollout.ecs.client import EcsClient
from rollout.ecs.patience import Patience
from rollout.ecs.transport import AiohttpTransport, Transport
from rollout.engines.clock import LoopClock
from rollout.engines.service import Gate, Service
from rollout.errors import AccessError, Problem, UsageError
from rollout.model.event import ClockSkew
from rollout.model.observation import KeyDescribed
from rollout.model.phrase import say
from rollout.model.plan import Identity
from rollout.model.site import Site

EMULATOR_ADDRESS = "http://127.0.0.1:8473"
"""Default address of `rollout emulator`."""
EMULATOR_KEY = ("emulator", "emulator-secret")
"""Default key id and secret of `rollout emulator`."""


@asynccontextmanager
async def connect(
    connection: Connection,
    notices: Notices,
    *,
    environment: Mapping[str, str] = os.environ,
    open_transport: Callable[..., Transport] = AiohttpTransport,
) -> AsyncIterator[Service]:
    """Yield a connection with a known identity.

    Errors: AccessError, ConfigError, UsageError.
    """
    safety_rules.check_reads(environment)
    where = endpoint_of(connection, environment)
    for problem in private_hosts(where):
        notices.warn(problem)
    clock, gate = LoopClock(), Gate()
    source = source_of(connection, where, environment)
    vendor.use_sts(where.sts())
    transport = open_transport(proxies=_proxies(environment))
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
            known=logs.KNOWN,
        )

    patience = Patience(clock, connection.api_timeout_ms)
    client = client_of(patience)
    try:
        async with waiting.reported(patience, notices):
            identity = await _identify(client, where)
        skewed = _follow_service(client, clock, connection, notices)
        if skewed is not None:  # the client's parts store times of the former clock
            patience = Patience(clock, connection.api_timeout_ms)
            client = client_of(patience)
            client.account = identity.account
        async with waiting.reported(patience, notices):
            yield Service(client, clock, identity, gate, skewed)
    finally:
        await client.aclose()


async def describe_key_pair(service: Service, site: Site, name: str) -> KeyDescribed:
    """Return a key pair as the service describes it. Errors: as `refusal.explain`."""
    found = await service.observe_key_pair(site, name)
    if not isinstance(found, KeyDescribed):
        raise refusal.explain(found, "DescribeKeyPairs", site.region)
    return found


def end_helpers() -> None:
    """End the credential programs that this process started. Callable from a signal handler."""
    external.end_all()


def _proxies(environment: Mapping[str, str]) -> proxies.Proxies:
    """Return the proxies of the environment, and hide their passwords."""
    found = proxies.read(environment)
    if found.proxy is not None and found.proxy.password:
        logs.hide(found.proxy.password)
    return found


def _follow_service(
    client: EcsClient, clock: LoopClock, connection: Connection, notices: Notices
) -> ClockSkew | None:
    """Correct the clock to the service's time if they differ much. Errors: AccessError R0409."""
    now = clock.now()
    found = ClockSkew(now, now + client.service_ahead_ms)
    warning = clock_skew.check(found, allowed=connection.allow_clock_skew)
    if not warning:
        return None
    notices.warn(Problem("R0420", warning))
    clock.follow(client.service_ahead_ms)
    return found


def private_hosts(where: endpoints.Endpoints) -> list[Problem]:
    """Return a warning for each named host that is not the service's own."""
    return [
        Problem(
            "R0421",
            say("calls go to {host}, a host outside {domain}", host=name, domain=endpoints.DOMAIN),
        )
        for name in where.private
    ]


def endpoint_of(
    connection: Connection, environment: Mapping[str, str] = MappingProxyType({})
) -> endpoints.Endpoints:
    """Return the addresses that calls are sent to.

    A private cloud's host must be named by the option, because a variable or a file may be left
    over.
    Errors: ConfigError R0010 for an unacceptable address, UsageError R0002 for a contradiction.
    """
    ecs = (
        EMULATOR_ADDRESS
        if connection.endpoint is None and connection.emulator
        else connection.endpoint
    )
    sts = connection.sts_endpoint
    kept = connection.configured
    ecs_typed = connection.endpoint not in (environment.get("ROLLOUT_ENDPOINT"), *kept)
    sts_typed = sts not in (environment.get("ROLLOUT_STS_ENDPOINT"), *kept)
    found = endpoints.Endpoints(
        "" if ecs is None else endpoints.address(ecs, private=ecs_typed),
        "" if sts is None else endpoints.address(sts, "sts", private=sts_typed),
    )
    if connection.emulator and not found.emulated:
        raise UsageError.of(
            "R0002",
            say(
                "--emulator contradicts the endpoint {endpoint}: it is not on this machine",
                endpoint=connection.endpoint,
            ),
            help=say(
                "leave one of the two out; ROLLOUT_EMULATOR and ROLLOUT_ENDPOINT count as well"
            ),
        )
    elsewhere = endpoints.Endpoints(found.sts_override).emulated != found.emulated
    if sts is not None and elsewhere:
        raise UsageError.of(
            "R0002",
            say(
                "the STS endpoint {sts} and the ECS endpoint {ecs} are not both on this machine",
                sts=sts,
                ecs=ecs or say("of the service"),
            ),
            help=say("leave --sts-endpoint out; ROLLOUT_STS_ENDPOINT counts as well"),
        )
    return found


def source_of(
    connection: Connection, where: endpoints.Endpoints, environment: Mapping[str, str]
) -> credentials.Source:
    """Return the source of credentials: the emulator's own key, unless a profile is named for it.

    AccessError R0408 if an account's keys would be sent without TLS to a loopback address.
    """
    if not where.emulated or (connection.emulator and connection.profile is not None):
        return credential_sources.choose(environment, connection.profile, on_secret=logs.hide)
    named = _named_keys(connection, environment)
    if not named or connection.emulator:
        key_id, secret = EMULATOR_KEY
        return credentials.StaticSource(key_id, credentials.Secret(secret), name="emulator key")
    if where.in_clear:
        raise AccessError.of(
            "R0408",
            say(
                "{named} would be sent without TLS to {override}, where any program of this "
                "machine may listen",
                named=named,
                override=where.override,
            ),
            help=say(
                "add --emulator (ROLLOUT_EMULATOR=1) to use the emulator's own key, or unset the "
                "endpoint"
            ),
        )
    return credential_sources.choose(environment, connection.profile, on_secret=logs.hide)


def _named_keys(connection: Connection, environment: Mapping[str, str]) -> str:
    """Return which keys are configured, as text; empty without any, or for the emulator's key."""
    if connection.profile is not None:
        return f"the keys of profile {connection.profile}"
    if not credentials.EnvironmentSource.is_set(environment):
        return ""
    own = credentials.EnvironmentSource(environment).fetch(0)
    return "" if own.access_key_id == EMULATOR_KEY[0] else "the keys of the environment"


async def _identify(client: EcsClient, where: endpoints.Endpoints) -> Identity:
    await client.keyring.get()  # its error is more specific than that of a call that was not sent
    found = await client.identify()
    if not isinstance(found, replies.CallerIdentity):
        raise refusal.explain(found, "GetCallerIdentity", where.sts())
    return Identity(found.account, found.arn, client.keyring.source.name, where.emulated)
