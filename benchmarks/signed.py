"""Requests for the bare client that are signed in advance, so that only sending is measured."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Iterable, Mapping

from benchmarks.peers.bare_client import Signed
from rollout.app.connect import EMULATOR_KEY
from rollout.ecs import contract, sign, wire


def requests(url: str, action: str, calls: Iterable[Mapping[str, str]]) -> list[Signed]:
    """Return one signed request for each set of parameters. It is valid for fifteen minutes."""
    key_id, secret = EMULATOR_KEY
    common = {
        "host": urllib.parse.urlsplit(url).netloc,
        "x-acs-action": action,
        "x-acs-content-sha256": sign.EMPTY_SHA256,
        "x-acs-date": wire.iso_seconds(time.time_ns() // 1_000_000),
        "x-acs-version": contract.ECS_VERSION,
    }
    made = []
    for number, params in enumerate(calls):
        query = sign.canonical_query(params)
        headers = {**common, "x-acs-signature-nonce": f"{number:032x}"}
        text = sign.v3_canonical_text("POST", "/", query, headers, list(headers), sign.EMPTY_SHA256)
        headers["authorization"] = sign.v3_authorization(
            key_id, headers, sign.v3_signature(text, secret)
        )
        headers["accept"] = "application/json"
        made.append((f"{url}/?{query}", headers))
    return made


def attach(region: str, key_pair: str, instances: list[str]) -> dict[str, str]:
    """Return the parameters of an AttachKeyPair call."""
    return {
        "RegionId": region,
        "KeyPairName": key_pair,
        "InstanceIds": json.dumps(instances, separators=(",", ":")),
    }
