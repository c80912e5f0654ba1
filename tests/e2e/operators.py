"""Another operator of the emulated cloud: signed calls, and changes through admin endpoints."""

from __future__ import annotations

import itertools
import json
import time
import urllib.parse
import urllib.request
from typing import Any

from rollout.ecs import sign, wire
from tests.e2e.stage import Stage

FOREIGN_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f other@example"
)

_nonces = itertools.count(1)


def call(made: Stage, action: str, **params: str) -> dict[str, Any]:
    """Call the emulated service like another client. Raises HTTPError for a refusal."""
    whole = {
        "Action": action,
        "Version": "2014-05-26",
        "Format": "JSON",
        "AccessKeyId": "emulator",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": f"other-{time.time_ns()}-{next(_nonces)}",
        "Timestamp": wire.iso_seconds(time.time_ns() // 1_000_000),
        **params,
    }
    whole["Signature"] = sign.v1_signature("POST", whole, "emulator-secret")
    url = f"{made.url}/?{urllib.parse.urlencode(whole)}"
    with urllib.request.urlopen(urllib.request.Request(url, b"")) as reply:  # noqa: S310
        decoded: dict[str, Any] = json.loads(reply.read())
        return decoded


def recreate_key_pair(made: Stage, region: str, name: str, public_key: str = FOREIGN_KEY) -> None:
    """Delete a key pair and import another public key under its name (edition `seed` only)."""
    call(made, "DeleteKeyPairs", RegionId=region, KeyPairNames=json.dumps([name]))
    call(made, "ImportKeyPair", RegionId=region, KeyPairName=name, PublicKeyBody=public_key)


def admin(made: Stage, what: str, value: object) -> None:
    """Change the emulator's state through an admin endpoint."""
    body = json.dumps(value).encode()
    urllib.request.urlopen(f"{made.url}/_admin/{what}", body).close()  # noqa: S310
