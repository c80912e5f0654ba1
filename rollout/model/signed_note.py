"""Sign and verify notes in the C2SP format "signed note" with Ed25519 keys.

Called by the approval of plans and by its verification. Pure: the caller provides random bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from typing import NamedTuple

NOTE_BYTES_MAX = 8 * 1024
"""Maximum size of a note: approvals have a few hundred bytes."""
KEY_TEXT_MAX = 1024
_ED25519 = b"\x01"
_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,128}")
_SIGNATURE = re.compile(r"— ([^\s+]{1,128}) ([A-Za-z0-9+/=]{1,1000})")
_PRIVATE = "PRIVATE+KEY+"


class NoteError(ValueError):
    """A key or a note is malformed, or a signature is wrong. The text contains no private key."""


class VerifierKey(NamedTuple):
    """The public half of a key. `hash` is the key hash in 8 hexadecimal digits."""

    name: str
    hash: str
    public: bytes

    @property
    def id(self) -> str:
        """Name and hash: identifies the key in messages and journals."""
        return f"{self.name}+{self.hash}"

    def __str__(self) -> str:
        return f"{self.id}+{base64.b64encode(_ED25519 + self.public).decode()}"


class SignerKey(NamedTuple):
    """The private half of a key, with its public half. Its text is secret."""

    verifier: VerifierKey
    seed: bytes

    def __repr__(self) -> str:
        return f"SignerKey({self.verifier.id})"

    def secret_text(self) -> str:
        """Return the content of the private key file."""
        return f"{_PRIVATE}{self.verifier.id}+{base64.b64encode(_ED25519 + self.seed).decode()}"


def is_key_name(text: str) -> bool:
    """Return whether a key can have this name: no spaces, no `+`, at most 128 characters."""
    return _NAME.fullmatch(text) is not None


def signer_of(name: str, seed: bytes) -> SignerKey:
    """Return the key of this name whose private half is the 32 bytes `seed`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return SignerKey(VerifierKey(name, _hash(name, public), public), seed)


def parse_verifier(text: str) -> VerifierKey:
    """Return the key in `NAME+HASH+BASE64`. Errors: NoteError."""
    if text.startswith(_PRIVATE):
        raise NoteError("this is a private key")
    name, key_hash, public = _parts(text)
    if key_hash != _hash(name, public):
        raise NoteError("the hash of the key does not match its name and its bytes")
    return VerifierKey(name, key_hash, public)


def parse_signer(text: str) -> SignerKey:
    """Return the key in `PRIVATE+KEY+NAME+HASH+BASE64`. Errors: NoteError."""
    if not text.startswith(_PRIVATE):
        raise NoteError("this is not a private key: it does not begin with PRIVATE+KEY+")
    name, key_hash, seed = _parts(text.removeprefix(_PRIVATE))
    signer = signer_of(name, seed)
    if signer.verifier.hash != key_hash:
        raise NoteError("the hash of the key does not match its name and its bytes")
    return signer


def sign(text: str, signer: SignerKey) -> str:
    """Return a note: the text, which ends in a line feed, and one signature."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signature = Ed25519PrivateKey.from_private_bytes(signer.seed).sign(text.encode())
    encoded = base64.b64encode(bytes.fromhex(signer.verifier.hash) + signature).decode()
    return f"{text}\n— {signer.verifier.name} {encoded}\n"


def verify(note: str, known: Iterable[VerifierKey]) -> tuple[str, list[VerifierKey]]:
    """Return the text of a note and the known keys that signed it; unknown keys are ignored.

    Errors: NoteError if the note is malformed or the signature of a known key is wrong.
    Source: https://c2sp.org/signed-note.
    """
    text, separator, rest = note.rpartition("\n\n")
    if not separator or not rest.endswith("\n") or len(note.encode()) > NOTE_BYTES_MAX:
        raise NoteError("not a signed note: a text, an empty line, and lines with signatures")
    text += "\n"
    keys = {(key.name, key.hash): key for key in known}
    signed: list[VerifierKey] = []
    for line in rest.removesuffix("\n").split("\n"):
        found = _SIGNATURE.fullmatch(line)
        raw = _decoded(found[2]) if found else b""
        if found is None or len(raw) < 5:
            raise NoteError("a line after the text is not a signature")
        key = keys.get((found[1], raw[:4].hex()))
        if key is None or key in signed:
            continue
        if not _is_signed(text, key, raw[4:]):
            raise NoteError(f"the signature of {key.id} does not match the text")
        signed.append(key)
    return text, signed


def _is_signed(text: str, key: VerifierKey, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(signature) != _SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
    except InvalidSignature:
        return False
    return True


def _parts(text: str) -> tuple[str, str, bytes]:
    """Return name, hash and the 32 bytes of a key without its prefix. Errors: NoteError."""
    name, _, rest = text.partition("+")
    key_hash, _, encoded = rest.partition("+")
    raw = _decoded(encoded)
    if not is_key_name(name) or re.fullmatch(r"[0-9a-f]{8}", key_hash) is None:
        raise NoteError("a key is written NAME+HASH+BASE64")
    if raw[:1] != _ED25519 or len(raw) != 1 + _KEY_BYTES:
        raise NoteError("not an Ed25519 key")
    return name, key_hash, raw[1:]


def _hash(name: str, public: bytes) -> str:
    return hashlib.sha256(f"{name}\n".encode() + _ED25519 + public).hexdigest()[:8]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
