"""Draw the faults of calls and instances by seed.

`FaultPlan.injection` returns what to inject into one call. The code that delivers the call (HTTP
server, simulated network, in-process transport) applies it, so the same call meets the same fault
in all of them. It depends on content and occurrence, never on nonce, date or time.
"""

import hashlib
import math
from collections.abc import Iterable

import msgspec

from rollout.ecs import wire
from rollout.emulator.faults import (
    CALL_INJECTIONS,
    INSTANCE_FAULTS,
    LATE_KEY_MS,
    NO_INJECTION,
    Fault,
    Injection,
)
from rollout.emulator.messages import Request


class FaultPlan:
    """The fault plan of one emulated cloud, and the number of earlier equal calls.

    Memory: one number per different call, and nothing while no fault is armed.
    """

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self.faults = tuple(faults)
        self.seed = seed
        self._calls = [f for f in self.faults if f.fault in CALL_INJECTIONS]
        self._of_action: dict[str, list[tuple[bytes, bytes, Fault]]] = {}
        self._of_instances = {f.fault: f for f in self.faults if f.fault in INSTANCE_FAULTS}
        self._occurrences: dict[int, int] = {}

    def injection(self, request: Request) -> Injection:
        """Return what to inject into this call. The next equal call is its next occurrence."""
        if not self._calls:
            return NO_INJECTION
        content = call_content(request)
        key = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
        occurrence = self._occurrences.get(key, 0)
        self._occurrences[key] = occurrence + 1
        rest = b"%d/%b" % (occurrence, content)
        for prefix, limit, fault in self._draws(request.action):
            if hashlib.blake2b(prefix + rest, digest_size=8).digest() < limit:
                return fault.injection()
        return NO_INJECTION

    def has(self, fault: str, instance: str) -> bool:
        """Return whether this instance has this instance fault."""
        armed = self._of_instances.get(fault)
        if armed is None:
            return False
        return draw(self.seed, fault, instance.encode(), 0) < armed.probability

    def late_key_ms(self, instance: str) -> int:
        """Return how long after its boot the guest of an instance keeps its former keys."""
        if not self.has("key_installed_late", instance):
            return 0
        delay_ms = self._of_instances["key_installed_late"].delay_ms
        return LATE_KEY_MS if delay_ms is None else delay_ms

    def _draws(self, action: str) -> list[tuple[bytes, bytes, Fault]]:
        """Return what `draw` hashes for each fault of an action, and the digest it stays below.

        Comparing digests instead of numbers halves the cost of a call.
        """
        found = self._of_action.get(action)
        if found is None:
            found = self._of_action[action] = [
                (b"%d/%b/" % (self.seed, fault.name.encode()), _limit(fault.probability), fault)
                for fault in self._calls
                if fault.applies_to(action)
            ]
        return found

    @property
    def lag_ms_max(self) -> int:
        """Return the longest lag of any armed fault."""
        return max((f.injection().lag_ms for f in self._calls), default=0)


def draw(seed: int, fault: str, content: bytes, occurrence: int) -> float:
    """Return a number in [0, 1) that depends only on the arguments."""
    text = b"%d/%b/%d/%b" % (seed, fault.encode(), occurrence, content)
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def _limit(probability: float) -> bytes:
    """Return the digest below which `draw` is below a probability: longer than any for 1."""
    numbers = math.ceil(probability * (1 << 53)) << 11
    return numbers.to_bytes(8, "big") if numbers < 1 << 64 else b"\xff" * 9


def call_content(request: Request) -> bytes:
    """Return the bytes that equal calls share: action and parameters, ids in any order."""
    ids: list[str] = []
    others: list[tuple[str, str]] = []
    for name, text in sorted(request.params.items()):
        if name.startswith("InstanceId."):
            ids.append(text)
        else:
            others.append((name, _sorted_ids(name, text)))
    ids.sort()
    return msgspec.json.encode((request.action, others, ids))


def _sorted_ids(name: str, text: str) -> str:
    ids = wire.json_array(text) if name == "InstanceIds" else None
    return text if ids is None else ",".join(sorted(ids))
