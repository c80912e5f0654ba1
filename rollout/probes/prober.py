"""Prove logins: the keys of an instance by SSH, then the hooks of the plan.

Implements the engine's port `Prober`. Created by `app.proofs`, which also checks that the
identities are present. Returns what was observed; `core` judges it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from rollout.model import limits
from rollout.model.plan import Plan
from rollout.model.probe import HostKeySeen, KeyAccess, LoginSeen, ProbeLogin, ReadHostKey
from rollout.model.site import Site
from rollout.model.verify import Addresses, AddressKind, CommandHook, HttpHook, Verify
from rollout.probes.fetch import NoReply, fetch

if TYPE_CHECKING:
    from rollout.probes.ssh import Attempt, Identities, Ssh

Resolve = Callable[[Site, str], Awaitable[Addresses]]
"""Returns the addresses of an instance; empty ones where it has none or is not listed."""

_HIDDEN = ("ALIBABA_CLOUD_", "ALIBABACLOUD_", "ROLLOUT_")
"""Beginnings of environment variables that no hook receives: they may hold credentials."""


class InstanceProber:
    """The probes of one plan. `ssh` and `identities` are set if the plan wants SSH logins."""

    def __init__(
        self,
        plan: Plan,
        verify: Verify,
        resolve: Resolve,
        ssh: Ssh | None = None,
        identities: Identities | None = None,
    ) -> None:
        self._plan, self._verify, self._resolve = plan, verify, resolve
        self._ssh, self._identities = ssh, identities

    async def read_host_key(self, probe: ReadHostKey) -> HostKeySeen:
        """Return the host key of an instance. Sends no credentials."""
        address = await self._address(probe)
        if self._ssh is None or not address:
            return HostKeySeen(why=self._no_address())
        host_key, why = await self._ssh.host_key(address)
        return HostKeySeen(host_key, why)

    async def prove_login(self, probe: ProbeLogin) -> LoginSeen:
        """Try both keys, and run the hooks if the keys are as wanted."""
        address = await self._address(probe)
        seen = LoginSeen()
        if self._ssh is not None:
            if not address:
                return LoginSeen(KeyAccess.UNKNOWN, why=self._no_address())
            seen = await self._log_in(probe, address)
            former = not probe.former_key or seen.former_key is KeyAccess.REFUSED
            if seen.new_key is not KeyAccess.ACCEPTED or not former:
                return seen
        failed = await self._hooks(probe.instance, address)
        return LoginSeen(seen.new_key, seen.former_key, seen.host_key, failed, seen.why)

    async def _log_in(self, probe: ProbeLogin, address: str) -> LoginSeen:
        wanted = self._plan.keys[probe.key].public_key_digest
        new = await self._attempt(wanted, address, probe.host_key)
        if not probe.former_key or new.access is not KeyAccess.ACCEPTED:
            return LoginSeen(new.access, host_key=new.host_key, why=new.why)
        former = await self._attempt(probe.former_key, address, new.host_key)
        if former.host_key not in ("", new.host_key):
            return LoginSeen(KeyAccess.UNKNOWN, host_key=former.host_key, why="two host keys")
        return LoginSeen(new.access, former.access, new.host_key, why=former.why)

    async def _attempt(self, digest: str, address: str, host_key: str) -> Attempt:
        from rollout.probes.ssh import Attempt

        if self._ssh is None or self._identities is None:
            return Attempt(KeyAccess.UNTRIED)
        pair = self._identities.pairs.get(digest)
        if pair is None:
            return Attempt(KeyAccess.UNKNOWN, why="the private key is not in the agent any more")
        return await self._ssh.attempt(address, pair, host_key)

    async def _hooks(self, instance: str, address: str) -> str:
        """Return the first hook that fails, with its cause; empty where all pass."""
        values = {"instance": instance, "address": address}
        for http in self._verify.http:
            if why := await _get(http, _filled(http.url, values)):
                return f"GET {_filled(http.url, values)}: {why}"
        for command in self._verify.command:
            argv = [_filled(word, values) for word in command.argv]
            if why := await _run(command, argv):
                return f"{' '.join(argv)}: {why}"
        return ""

    async def _address(self, probe: ReadHostKey | ProbeLogin) -> str:
        return (await self._resolve(probe.site, probe.instance)).of(self._kind)

    @property
    def _kind(self) -> AddressKind:
        return self._verify.ssh.address if self._verify.ssh else AddressKind.PRIVATE

    def _no_address(self) -> str:
        return f"the instance has no {self._kind.value} address"


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


async def _get(hook: HttpHook, url: str) -> str:
    """Return why a reply is not as expected; empty where it is."""
    try:
        reply = await fetch(url, {}, min(hook.timeout_ms, limits.PROBE_ATTEMPT_MS))
    except NoReply as error:
        return str(error)
    return "" if reply.status == hook.expect else f"status {reply.status}, not {hook.expect}"


async def _run(hook: CommandHook, argv: list[str]) -> str:
    """Return why a program did not exit with 0; empty where it did."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_HIDDEN)}
    try:
        with anyio.fail_after(hook.timeout_ms / 1000):
            ended = await anyio.run_process(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
                env=environment,
            )
    except TimeoutError:
        return f"still running after {hook.timeout_ms / 1000:g} s"
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "" if ended.returncode == 0 else f"exit code {ended.returncode}"
