"""Prepare the probes of a plan: the identities, the SSH library, the addresses of instances.

Called by `execute` and `doctor_probes`. Errors are raised before anything is changed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from rollout.engines.ports import Prober
from rollout.engines.service import Service
from rollout.errors import ConfigError, PlanError
from rollout.model.phrase import Phrase, say
from rollout.model.plan import Plan, public_key_digest
from rollout.model.spec import KeyPairSpec
from rollout.model.verify import SshLogin, Verify
from rollout.probes import exec_gate
from rollout.probes.prober import InstanceProber

if TYPE_CHECKING:
    from rollout.probes.ssh import Identities


@contextlib.asynccontextmanager
async def prober(plan: Plan, service: Service) -> AsyncIterator[Prober | None]:
    """Yield the prober of a plan; None if the plan wants no logins.

    Errors: ConfigError R0012 without the extra `[ssh]`, R0351 if a program is missing; PlanError
    R0349 if a key is in neither the agent nor the identity file.
    """
    verify = plan.logins()
    if verify is None:
        yield None
        return
    _check_programs(verify)
    service.keep_addresses()
    if verify.ssh is None:
        yield InstanceProber(plan, verify, service.addresses_of)
        return
    _check_extra()
    from rollout.probes.ssh import Ssh

    ssh = Ssh(verify.ssh)
    try:
        async with _identities(verify.ssh) as identities:
            for key in plan.keys:
                _check_wanted(key.name, key.public_key_digest, identities, verify.ssh)
            _check_former(plan, identities, verify.ssh)
            yield InstanceProber(plan, verify, service.addresses_of, ssh, identities)
    finally:
        await ssh.aclose()


async def check_local(verify: Verify, wanted: KeyPairSpec) -> str:
    """Return why the SSH agent cannot be used, if it is needed; else an empty text.

    Errors: as `prober`, as far as this machine and the new key are concerned.
    """
    _check_programs(verify)
    if verify.ssh is None:
        return ""
    _check_extra()
    async with _identities(verify.ssh) as identities:
        digest = public_key_digest(wanted.public_key)
        _check_wanted(wanted.name, digest, identities, verify.ssh)
        return identities.problem


@contextlib.asynccontextmanager
async def _identities(login: SshLogin) -> AsyncIterator[Identities]:
    """Yield the keys of the agent and of the identity file."""
    from rollout.probes.ssh import Identities

    found = Identities(login)
    try:
        await found.load()
        yield found
    finally:
        await found.aclose()


def _check_programs(verify: Verify) -> None:
    """Raise ConfigError R0351 for a hook whose program cannot be started on this machine."""
    for hook in verify.command:
        program = hook.argv[0]
        if "{" not in program and not exec_gate.is_program(program, os.environ):
            raise ConfigError.of(
                "R0351",
                say(
                    "{program} of `verify.command` is not a program on this machine",
                    program=program,
                ),
                help=say("install it, or correct the spec and plan again"),
            )


def _check_extra() -> None:
    if importlib.util.find_spec("asyncssh") is None:
        raise ConfigError.of(
            "R0012",
            say("the plan proves logins by SSH, and the library for it is not installed"),
            help="pip install 'ecs-rollout[ssh]'",
        )


def _check_wanted(name: str, digest: str, identities: Identities, login: SshLogin) -> None:
    """Raise R0349 unless the private key of a new key pair is present."""
    if digest not in identities.pairs:
        raise PlanError.of(
            "R0349",
            _with_cause(
                say(
                    "the private key of key pair {name} is not in {identity}",
                    name=name,
                    identity=login.identity,
                ),
                identities,
            ),
            help=say("add the key with ssh-add, or name its file in `verify.ssh.identity`"),
        )


def _check_former(plan: Plan, identities: Identities, login: SshLogin) -> None:
    """Raise R0349 unless the private key of every former key pair is present, if it is tried."""
    if not login.expect_old_key_refused:
        return
    for key in plan.former():
        if key.public_key_digest not in identities.pairs:
            raise PlanError.of(
                "R0349",
                _with_cause(
                    say(
                        "the private key of the former key pair {name} is not in the SSH agent",
                        name=key.name,
                    ),
                    identities,
                ),
                help=say(
                    "add it with ssh-add; or set `verify.ssh.expectOldKeyRefused: false`, and plan "
                    "again"
                ),
            )


def _with_cause(text: Phrase, identities: Identities) -> Phrase:
    if not identities.problem:
        return text
    return say("{text}: {cause}", text=text, cause=identities.problem)
