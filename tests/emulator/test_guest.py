"""Guests over SSH: OpenSSH's own client logs in with the key of the last boot, and no other."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rollout.emulator.cloud.switches import Switches
from rollout.emulator.dispatch import Cloud
from rollout.emulator.fleet import synthetic
from rollout.emulator.guest.shell import fingerprint_line
from tests.emulator import fixtures
from tests.emulator.fixtures import FRESH_BODY, NOW, REGION, attach, call, ids

asyncssh = pytest.importorskip("asyncssh", reason="the extra [ssh] is not installed")
guest = pytest.importorskip("rollout.emulator.guest.ssh")

needs_openssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no OpenSSH client (ssh)")


class Clock:
    """The time of the cloud, moved by the test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class Rotation:
    """A cloud with its guests, both keys as files, and OpenSSH's client."""

    def __init__(self, cloud: Cloud, clock: Clock, port: int, folder: Path) -> None:
        self.cloud = cloud
        self.clock = clock
        self._port = port
        self._folder = folder
        self.new = self._key_file("new", b"\x07" * 32)
        self.old = self._key_file("old", synthetic.former_private_key(1, REGION))

    def _key_file(self, name: str, private: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(
            Ed25519PrivateKey.from_private_bytes(private).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            )
        )
        path.chmod(0o600)
        return path

    async def ssh(self, key: Path, user: str, command: str = "whoami") -> tuple[int, str]:
        """Exit code and output of `ssh -i key`."""
        process = await asyncio.create_subprocess_exec(
            "ssh",
            *("-F", "none", "-i", str(key), "-p", str(self._port), "-l", user),
            *("-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "IdentityAgent=none"),
            *("-o", f"UserKnownHostsFile={self._folder / 'known'}"),
            *("-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR"),
            "127.0.0.1",
            command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        return process.returncode or 0, output.decode()

    def restart(self, instance: str) -> None:
        """Reboot, and let the boot end."""
        call(self.cloud, "RebootInstance", InstanceId=instance, now=self.clock.now)
        self.clock.now += 60_000


@asynccontextmanager
async def rotation(folder: Path, switches: Switches = Switches()) -> AsyncIterator[Rotation]:  # noqa: B008
    """Guests on a free port."""
    cloud, clock = fixtures.cloud(switches), Clock()
    async with guest.serve(cloud, seed=3, clock=clock) as port:
        yield Rotation(cloud, clock, port, folder)


@needs_openssh
@pytest.mark.asyncio
async def test_the_new_key_works_after_the_restart_and_the_old_one_before(tmp_path: Path) -> None:
    """The effect of a rotation, with OpenSSH: attach alone changes nothing in the guest."""
    async with rotation(tmp_path) as r:
        attach(r.cloud, "i-plain-1")
        before = [(await r.ssh(key, "i-plain-1"))[0] for key in (r.old, r.new)]
        r.restart("i-plain-1")
        after = [(await r.ssh(key, "i-plain-1"))[0] for key in (r.old, r.new)]
    assert before == [0, 255]
    assert after == [255, 0]


@needs_openssh
@pytest.mark.asyncio
async def test_the_guest_answers_the_commands_of_a_probe(tmp_path: Path) -> None:
    """User, keys and a boot id that moves with the boot; the key of the listener stays."""
    async with rotation(tmp_path) as r:
        _, first = await r.ssh(r.old, "root@i-plain-2", "cat /proc/sys/kernel/random/boot_id")
        attach(r.cloud, "i-plain-2")
        r.restart("i-plain-2")
        _, second = await r.ssh(r.new, "root@i-plain-2", "cat /proc/sys/kernel/random/boot_id")
        _, keys = await r.ssh(r.new, "i-plain-2", "ssh-keygen -lf ~/.ssh/authorized_keys")
        known = (tmp_path / "known").read_text().splitlines()
    assert first != second
    assert keys == f"{fingerprint_line(FRESH_BODY)}\n"
    assert len(known) == 1


@needs_openssh
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "user", ["i-stopped", "i-windows", "i-none", "admin@i-plain-1", "root", ""]
)
async def test_there_is_no_login_to_absent_instances(tmp_path: Path, user: str) -> None:
    """Stopped, Windows, unknown, another login user: no login with any key."""
    async with rotation(tmp_path) as r:
        assert (await r.ssh(r.old, user or "x"))[0] == 255


@needs_openssh
@pytest.mark.asyncio
async def test_guests_live_by_the_clock_of_the_service(tmp_path: Path) -> None:
    """Where that is ahead of ours, a boot is over when the service says so."""
    async with rotation(tmp_path, Switches(clock_skew_ms=600_000)) as r:
        call(r.cloud, "RebootInstance", InstanceId="i-plain-1", now=r.clock.now + 600_000)
        r.clock.now += 60_000
        assert (await r.ssh(r.old, "i-plain-1"))[0] == 0


@needs_openssh
@pytest.mark.asyncio
async def test_an_instance_is_out_of_reach_while_it_boots(tmp_path: Path) -> None:
    """Between Stopping and Running nobody answers."""
    async with rotation(tmp_path) as r:
        call(r.cloud, "RebootInstance", InstanceId="i-plain-1")
        r.clock.now += 2_000
        during = (await r.ssh(r.old, "i-plain-1"))[0]
        r.clock.now += 60_000
        assert (during, (await r.ssh(r.old, "i-plain-1"))[0]) == (255, 0)


@needs_openssh
@pytest.mark.asyncio
async def test_a_boot_that_appends_leaves_the_old_key_in(tmp_path: Path) -> None:
    """An open question about the real service that only a probe can answer."""
    async with rotation(tmp_path, Switches(boot_keeps_former_keys=True)) as r:
        attach(r.cloud, "i-plain-1")
        r.restart("i-plain-1")
        assert [(await r.ssh(key, "i-plain-1"))[0] for key in (r.old, r.new)] == [0, 0]


@pytest.mark.asyncio
async def test_password_login_dies_with_the_first_key() -> None:
    """It works on a keyless guest, ends at the boot that installs a key, and can come back."""
    cloud, clock = fixtures.cloud(), Clock()

    async def enters(port: int) -> bool:
        try:
            async with asyncssh.connect(
                "127.0.0.1",
                port,
                username="i-keyless",
                password=guest.PASSWORD,
                known_hosts=None,
                client_keys=None,
                config=None,
            ):
                return True
        except asyncssh.Error:
            return False

    def restart() -> None:
        call(cloud, "RebootInstance", InstanceId="i-keyless", now=clock.now)
        clock.now += 60_000

    async with guest.serve(cloud, clock=clock) as port:
        seen = [await enters(port)]
        attach(cloud, "i-keyless", now=clock.now)
        seen.append(await enters(port))
        restart()
        seen.append(await enters(port))
        params = {
            "RegionId": REGION,
            "KeyPairName": fixtures.FRESH,
            "InstanceIds": ids("i-keyless"),
        }
        call(cloud, "DetachKeyPair", params, now=clock.now)
        restart()
        seen.append(await enters(port))
    assert seen == [True, True, False, True]


def test_the_key_of_the_listener_follows_from_the_seed() -> None:
    """known_hosts stays right when the emulator is started again."""
    assert guest.host_key(1) == guest.host_key(1)
    assert guest.host_key(1) != guest.host_key(2)
