"""Logins by SSH: what one attempt observes, and what it never sends."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import msgspec
import pytest

from rollout.model.probe import KeyAccess
from rollout.model.verify import SshLogin
from rollout.probes.ssh import Ssh, jump_host


def pair_of(key: asyncssh.SSHKey) -> asyncssh.SSHKeyPair:
    """The key as a client offers it."""
    (pair,) = asyncssh.load_keypairs([key])
    return pair


def test_a_jump_host_has_an_optional_user_and_port() -> None:
    """As `ssh -J` takes it."""
    assert jump_host("ops@bastion.prod:2222") == ("ops", "bastion.prod", 2222)
    assert jump_host("bastion.prod") == ("", "bastion.prod", 22)


class Accepts(asyncssh.SSHServer):
    """A server that accepts one key, or everyone without any."""

    def __init__(self, key: asyncssh.SSHKey | None) -> None:
        self.key = key
        self.tried = 0

    def begin_auth(self, username: str) -> bool:
        return self.key is not None

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self.tried += 1
        return self.key is not None and key.public_data == self.key.public_data

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        raise AssertionError("no password is ever sent")


@contextlib.asynccontextmanager
async def server(accepted: asyncssh.SSHKey | None) -> AsyncIterator[tuple[Ssh, str, Accepts]]:
    """A server on loopback: the probe for it, its host key, and what it received."""
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    received = Accepts(accepted)
    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=lambda: received, server_host_keys=[host_key]
    )
    try:
        yield Ssh(SshLogin("root", listener.get_port())), host_key.get_fingerprint(), received
    finally:
        listener.close()
        await listener.wait_closed()


@pytest.mark.asyncio
async def test_exactly_one_key_is_tried() -> None:
    """The accepted key is accepted, another one refused, and no other method is used."""
    right, wrong = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    async with server(right) as (ssh, host_key, _):
        assert await ssh.host_key("127.0.0.1") == (host_key, "")
        accepted = await ssh.attempt("127.0.0.1", pair_of(right), host_key)
        refused = await ssh.attempt("127.0.0.1", pair_of(wrong), "")

    assert (accepted.access, accepted.host_key) == (KeyAccess.ACCEPTED, host_key)
    assert (refused.access, refused.host_key) == (KeyAccess.REFUSED, host_key)


@pytest.mark.asyncio
async def test_nothing_is_sent_to_a_server_with_another_host_key() -> None:
    """The connection ends before a key is offered."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    async with server(key) as (ssh, host_key, received):
        found = await ssh.attempt("127.0.0.1", pair_of(key), "SHA256:another")

    assert (found.access, found.host_key) == (KeyAccess.UNTRIED, host_key)
    assert received.tried == 0


@pytest.mark.asyncio
async def test_a_server_that_wants_no_key_proves_nothing() -> None:
    """A login without a key is no login with this key."""
    async with server(None) as (ssh, _, _):
        key = asyncssh.generate_private_key("ssh-ed25519")
        found = await ssh.attempt("127.0.0.1", pair_of(key), "")

    assert found.access is KeyAccess.UNKNOWN
    assert found.why == "the server asks for no key"


@pytest.mark.asyncio
async def test_no_server_is_unknown_and_not_a_refusal() -> None:
    """A closed port says nothing about a key."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    found = await Ssh(SshLogin("root", 9)).attempt("127.0.0.1", pair_of(key), "")

    assert found.access is KeyAccess.UNKNOWN
    assert found.why


class Jump(Accepts):
    """A jump host, which forwards connections."""

    def connection_requested(self, dest_host: str, dest_port: int, *_: object) -> bool:
        return True


@pytest.mark.asyncio
async def test_a_server_behind_a_jump_host_is_reached_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default identity opens the jump host, which must be in known_hosts; the connection to it
    serves all logins.
    """
    home, right = tmp_path / ".ssh", asyncssh.generate_private_key("ssh-ed25519")
    home.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    identity = asyncssh.generate_private_key("ssh-ed25519")
    identity.write_private_key(home / "id_ed25519")
    host_key, jumps = asyncssh.generate_private_key("ssh-ed25519"), list[Jump]()

    def new_jump() -> Jump:
        jumps.append(Jump(identity))
        return jumps[-1]

    listener = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=new_jump, server_host_keys=[host_key]
    )
    async with listener, server(right) as (direct, guest_key, _):
        via = f"ops@127.0.0.1:{listener.get_port()}"
        ssh = Ssh(msgspec.structs.replace(direct.login, via=via))
        unknown = await ssh.attempt("127.0.0.1", pair_of(right), "")
        host = f"[127.0.0.1]:{listener.get_port()}"
        public = host_key.export_public_key().decode()
        (home / "known_hosts").write_text(f"{host} {public}")
        accepted = await ssh.attempt("127.0.0.1", pair_of(right), guest_key)
        read = await ssh.host_key("127.0.0.1")
        await ssh.aclose()

    assert unknown.access is KeyAccess.UNKNOWN and unknown.why.startswith("jump host 127.0.0.1: ")
    assert accepted.access is KeyAccess.ACCEPTED
    assert read == (guest_key, "")
    assert len([jump for jump in jumps if jump.tried]) == 1
