"""The key pairs of the emulated cloud: per region, by name, with a fingerprint and a public key.

Used by the key actions, by boots (which take the key material from here) and by the fleets.
A key pair that is deleted and imported again with the same name is a different key pair.
"""

import base64
import binascii
import hashlib
import re
from typing import Final

from rollout.ecs import wire
from rollout.emulator.cloud.shapes import Tags

NONE: Final = 0
"""The number of "no key pair" in the columns of instances."""

# Documented list of 2021; ed25519 is missing there and is a switch.
KEY_TYPES: Final = (
    "ssh-rsa",
    "ssh-dss",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa-cert-v00@openssh.com",
    "ssh-rsa-cert-v01@openssh.com",
    "ssh-dss-cert-v00@openssh.com",
    "ssh-dss-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
)
ED25519: Final = "ssh-ed25519"

# 2 to 128 characters; a letter or Chinese character first (SDK comment of ImportKeyPair).
_NAME = re.compile(r"[^\W\d_][\w:.\-]{1,127}")


class KeyPair:
    """One key pair. `bound` counts the instances whose record names it (not so for NONE)."""

    __slots__ = (
        "body",
        "bound",
        "created_ms",
        "fingerprint",
        "group",
        "name",
        "name_json",
        "number",
        "region",
        "tags",
    )

    def __init__(self, number: int, region: str, name: str, body: str, created_ms: int) -> None:
        self.number = number
        self.region = region
        self.name = name
        self.name_json = wire.encode_json({"n": name}).decode()[5:-1]
        self.body = body
        self.fingerprint = ""
        self.created_ms = created_ms
        self.group = ""
        self.tags: Tags = ()
        self.bound = 0


class KeyPairs:
    """All key pairs ever created, by number, and the existing ones by region and name."""

    def __init__(self) -> None:
        self._md5 = False
        self.all: list[KeyPair] = [KeyPair(NONE, "", "", "", 0)]
        self._living: dict[str, dict[str, KeyPair]] = {}

    def add(self, region: str, name: str, body: str, created_ms: int) -> KeyPair:
        """Create a key pair. The caller checks that the name is free."""
        pair = KeyPair(len(self.all), region, name, body, created_ms)
        pair.fingerprint = fingerprint(body, md5=self._md5)
        self.all.append(pair)
        self._living.setdefault(region, {})[name] = pair
        return pair

    def use_md5(self, md5: bool) -> None:  # noqa: FBT001 - one switch
        """Compute fingerprints with MD5, or SHA-1; explicit fingerprints stay."""
        if md5 == self._md5:
            return
        for pair in self.all:
            if pair.fingerprint == fingerprint(pair.body, md5=self._md5):
                pair.fingerprint = fingerprint(pair.body, md5=md5)
        self._md5 = md5

    def find(self, region: str, name: str) -> KeyPair | None:
        """Return the existing key pair of that name."""
        return self._living.get(region, {}).get(name)

    def living(self, region: str) -> list[KeyPair]:
        """Return the existing key pairs of a region, oldest first."""
        return list(self._living.get(region, {}).values())

    def delete(self, pair: KeyPair) -> None:
        """Delete a key pair; instances that name it still name it."""
        del self._living[pair.region][pair.name]


def name_is_legal(name: str) -> bool:
    """Return whether a key pair may have this name."""
    return _NAME.fullmatch(name) is not None


def body_is_legal(body: str, *, ed25519: bool) -> bool:
    """Return whether `body` is one OpenSSH public key line of a type the service takes."""
    parts = body.split()
    if len(parts) < 2 or (parts[0] not in KEY_TYPES and not (ed25519 and parts[0] == ED25519)):
        return False
    blob = _blob(parts[1])
    name = parts[0].encode()
    return blob is not None and blob[4 : 4 + len(name)] == name


def fingerprint(body: str, *, md5: bool = False) -> str:
    """Return hexadecimal octets with colons.

    Documented as MD5, but every published sample has 20 octets, the length of SHA-1. So SHA-1
    is the default.
    """
    parts = body.split()
    blob = _blob(parts[1]) if len(parts) > 1 else None
    digest = hashlib.md5 if md5 else hashlib.sha1
    return digest(blob or b"", usedforsecurity=False).digest().hex(":")


def _blob(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
