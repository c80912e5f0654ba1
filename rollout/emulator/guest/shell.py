"""The simulated shell of a guest: the few commands that show the state of the guest.

Called by the Cloud Assistant actions and by the SSH guests. Nothing is executed: output is computed
from the state of the guest after its last boot.
"""

import base64
import hashlib
import shlex
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from rollout.ecs import wire

_UNKNOWN_COMMAND: Final = 127


class Guest(msgspec.Struct, frozen=True):
    """The inside of an instance for a login user.

    `keys`: lines of the login user's authorized_keys, newest first.
    """

    name: str
    user: str
    login_user: str
    boot_id: str
    booted_at: int
    keys: tuple[str, ...]
    password_login: bool
    host_key: str = ""
    """Identifies the host key: another text means another key."""

    @property
    def key_file(self) -> str:
        """Return the path of the login user's authorized_keys."""
        return f"{home(self.login_user)}/.ssh/authorized_keys"


def home(user: str) -> str:
    """Return the home directory of a user."""
    folder = "root" if user == "root" else f"home/{user}"
    return f"/{folder}"


def boot_id(instance: str, boots: int) -> str:
    """Return a random-looking id that changes with every boot and with nothing else."""
    text = hashlib.blake2b(f"{instance}/{boots}".encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def run(script: str, guest: Guest) -> tuple[int, str]:
    """Return the exit code of the last command and the output of all."""
    code, output = 0, ""
    for line in script.replace(";", "\n").replace("&&", "\n").split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        code, text = _command(line, guest)
        output += text
    return code, output


def _command(line: str, guest: Guest) -> tuple[int, str]:
    try:
        words = shlex.split(line)
    except ValueError:
        return 2, "sh: unterminated quoted string\n"
    words = [word for word in words if word not in {"2>/dev/null", "2>&1", "sudo"}]
    name, args = (words[0], words[1:]) if words else ("", [])
    answer = _COMMANDS.get(name)
    if answer is None:
        return _UNKNOWN_COMMAND, f"sh: {name}: command not found\n"
    return answer(args, guest)


def _cat(args: list[str], guest: Guest) -> tuple[int, str]:
    path = _path(args, guest)
    if path == "/proc/sys/kernel/random/boot_id":
        return 0, f"{guest.boot_id}\n"
    if path == guest.key_file and guest.keys:
        return 0, "".join(f"{key}\n" for key in guest.keys)
    return 1, f"cat: {path}: No such file or directory\n"


def _ssh_keygen(args: list[str], guest: Guest) -> tuple[int, str]:
    """Return the output of `ssh-keygen -lf FILE`: one fingerprint per line."""
    path = _path(args[-1:], guest)
    if path != guest.key_file or not guest.keys:
        return 1, f"ssh-keygen: {path}: No such file or directory\n"
    return 0, "".join(f"{fingerprint_line(key)}\n" for key in guest.keys)


def fingerprint_line(key: str) -> str:
    """Return what `ssh-keygen -l` prints for an OpenSSH public key line."""
    kind, blob_text, *comment = key.split(maxsplit=2)
    blob = base64.b64decode(blob_text)
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    family = kind.removeprefix("ssh-").split("-")[0].upper()
    return f"{_bits(kind, blob)} SHA256:{digest} {' '.join(comment) or 'no comment'} ({family})"


def _bits(kind: str, blob: bytes) -> int:
    """Return the size of a key; of an RSA key that of its modulus, the last field of the blob."""
    if kind != "ssh-rsa":
        return 256
    fields, rest = [], blob
    while rest:
        size = int.from_bytes(rest[:4], "big")
        fields.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    return int.from_bytes(fields[-1], "big").bit_length()


def _sshd(_: list[str], guest: Guest) -> tuple[int, str]:
    """Return the output of `sshd -T`, with or without a grep."""
    return 0, f"passwordauthentication {'yes' if guest.password_login else 'no'}\n"


def _uptime(_: list[str], guest: Guest) -> tuple[int, str]:
    return 0, wire.iso_seconds(guest.booted_at).replace("T", " ").replace("Z", "\n")


def _path(args: list[str], guest: Guest) -> str:
    path = args[0] if args else ""
    return path.replace("~", home(guest.user), 1)


_COMMANDS: Final[Mapping[str, Callable[[list[str], Guest], tuple[int, str]]]] = {
    "cat": _cat,
    "echo": lambda args, _: (0, f"{' '.join(args)}\n"),
    "hostname": lambda _, guest: (0, f"{guest.name}\n"),
    "set": lambda _args, _guest: (0, ""),
    "ssh-keygen": _ssh_keygen,
    "sshd": _sshd,
    "/usr/sbin/sshd": _sshd,
    "true": lambda _args, _guest: (0, ""),
    "uptime": _uptime,
    "whoami": lambda _, guest: (0, f"{guest.user}\n"),
}
