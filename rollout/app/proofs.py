"""Prepare the probes of a plan: the identities, the SSH library, the addresses of instances.

Called by `execute` and `doctor`. Errors are raised before anything is changed.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import AsyncIterator

from rollout.engines.ports import Prober
from rollout.engines.service import Service
from rollout.errors import ConfigError, PlanError
from rollout.model.plan import Plan
from rollout.model.verify import Verify
from rollout.probes.prober import InstanceProber


@contextlib.asynccontextmanager
async def prober(plan: Plan, service: Service) -> AsyncIterator[Prober | None]:
    """Yield the prober of a plan; None if the plan wants no logins.

    Errors: ConfigError R0012 without the extra `[ssh]`; PlanError R0349 if a key is in neither the
    agent nor the identity file.
    """
    verify = plan.logins()
    if verify is None:
        yield None
        return
    service.keep_addresses()
    if verify.ssh is None:
        yield InstanceProber(plan, verify, service.addresses_of)
        return
    _check_extra()
    from rollout.probes.ssh import Identities, Ssh

    ssh, identities = Ssh(verify.ssh), Identities(verify.ssh)
    try:
        await identities.load()
        _check_identities(plan, verify, identities.problem, set(identities.pairs))
        yield InstanceProber(plan, verify, service.addresses_of, ssh, identities)
    finally:
        await ssh.aclose()
        await identities.aclose()


def _check_extra() -> None:
    if importlib.util.find_spec("asyncssh") is None:
        raise ConfigError.of(
            "R0012",
            "the plan proves logins by SSH, and the library for it is not installed",
            help="pip install 'ecs-rollout[ssh]'",
        )


def _check_identities(plan: Plan, verify: Verify, problem: str, present: set[str]) -> None:
    """Raise R0349 unless the private half of every key to be tried is present."""
    absent = [key.name for key in plan.keys if key.public_key_digest not in present]
    if absent:
        where = verify.ssh.identity if verify.ssh else ""
        raise PlanError.of(
            "R0349",
            f"the private key of key pair {absent[0]} is not in {where}"
            + (f": {problem}" if problem else ""),
            help="add the key with ssh-add, or name its file in `verify.ssh.identity`",
        )
    if verify.ssh is None or not verify.ssh.expect_old_key_refused:
        return
    former = [key.name for key in plan.former() if key.public_key_digest not in present]
    if former:
        raise PlanError.of(
            "R0349",
            f"the private key of the former key pair {former[0]} is not in the SSH agent"
            + (f": {problem}" if problem else ""),
            help="add it with ssh-add; or set `verify.ssh.expectOldKeyRefused: false`, and plan "
            "again",
        )
