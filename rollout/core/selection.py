"""Who is in, who is out, and the one reason why.

Called by `planner`. Every instance of the inventory leaves here exactly once. Knows nothing of
waves, budgets or time beyond the instant it is given.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec

from rollout.model.instance import Instance, Inventory, OsFamily, Proofs, Status
from rollout.model.plan import Exclusion, Reason, public_key_digest
from rollout.model.spec import Exclude, Spec, Stopped
from rollout.model.time import Instant

Verdict = tuple[Reason, str] | None
"""None = in; otherwise the reason and a detail for people."""


class Selection(msgspec.Struct, frozen=True):
    """The inventory, parted: `chosen` in inventory order, `exclusions` with their reasons.

    Counted on the way, since each pass over a million instances costs: `serving` of the inventory
    were not Stopped; of the chosen `stopped` were, and `keyless` have no key pair.
    """

    chosen: tuple[Instance, ...]
    exclusions: tuple[Exclusion, ...]
    serving: int
    stopped: int
    keyless: int


def select(spec: Spec, inventory: Inventory, proofs: Proofs, at: Instant) -> Selection:
    """Part the inventory. Chosen plus exclusions are the inventory, each instance once.

    `at` is the planning instant, which decides expiry and whether an exclusion rule still holds.
    """
    chosen: list[Instance] = []
    exclusions = [
        Exclusion(lost.id, lost.account, lost.region, Reason.NOT_FOUND) for lost in inventory.lost
    ]
    judge = _judge(spec, proofs, at)
    serving = stopped = keyless = 0
    for instance in inventory.instances:
        verdict = judge(instance)
        stands = instance.status is Status.STOPPED
        serving += not stands
        if verdict is None:
            chosen.append(instance)
            stopped += stands
            keyless += not instance.key_pair
        else:
            reason, detail = verdict
            exclusions.append(
                Exclusion(instance.id, instance.account, instance.region, reason, detail)
            )
    return Selection(tuple(chosen), tuple(exclusions), serving, stopped, keyless)


def expired_rules(spec: Spec, at: Instant) -> tuple[Exclude, ...]:
    """Exclusion rules past their `until`: they no longer leave anything out."""
    return tuple(rule for rule in spec.exclude if rule.until is not None and rule.until <= at)


def rotatable_os(instance: Instance) -> Reason | None:
    """None for Linux; otherwise the reason. A name never lets an instance in, it only warns.

    Source: `OSType` decides in any case; an `OSName` or image that says Windows against it makes
    the family unknown (API facts, section 5).
    """
    if instance.os is OsFamily.WINDOWS:
        return Reason.WINDOWS
    if instance.os is not OsFamily.LINUX:
        return Reason.OS_UNKNOWN
    if _says_windows(instance.os_name, instance.image):
        return Reason.OS_UNKNOWN
    return None


def _judge(spec: Spec, proofs: Proofs, at: Instant) -> Callable[[Instance], Verdict]:
    """The checks in the order of `Reason`, closed over what they need."""
    wanted = spec.key_pair.name
    wanted_digest = public_key_digest(spec.key_pair.public_key)
    expired = expired_rules(spec, at)
    rules = tuple(rule for rule in spec.exclude if rule not in expired)
    leave_stopped = spec.restart.stopped is Stopped.LEAVE
    keep_passwords = not spec.allow_password_loss

    def judge(instance: Instance) -> Verdict:
        reason = rotatable_os(instance)
        if reason is not None:
            return reason, instance.os_name
        for rule in rules:
            if _applies(rule, instance):
                return Reason.RULE, rule.reason
        if instance.key_pair == wanted and _proved(proofs, instance.id, wanted, wanted_digest):
            return Reason.ALREADY_DONE, proofs[instance.id].run
        if instance.locks:
            return Reason.LOCKED, ", ".join(instance.locks)
        if 0 < instance.expires_at <= at:
            return Reason.EXPIRED, ""
        if not instance.io_optimized:
            return Reason.NOT_IO_OPTIMIZED, ""
        status = instance.status
        if status is not Status.RUNNING:
            if status is not Status.STOPPED:
                return Reason.TRANSITIONAL, status.value
            if leave_stopped:
                return Reason.STOPPED, ""
        if keep_passwords and not instance.key_pair:
            return Reason.PASSWORD_ONLY, ""
        return None

    return judge


def _applies(rule: Exclude, instance: Instance) -> bool:
    if instance.id in rule.instances:
        return True
    return rule.select is not None and rule.select.matches(instance.tags)


def _proved(proofs: Proofs, instance: str, key_pair: str, public_key: str) -> bool:
    proof = proofs.get(instance)
    return (
        proof is not None and proof.key_pair == key_pair and proof.public_key_digest == public_key
    )


@functools.lru_cache(maxsize=4096)
def _says_windows(*names: str) -> bool:
    """True where an OS name or image id speaks of Windows (`win2019_1809_x64_…` images too)."""
    lowered = [name.lower() for name in names]
    return any("windows" in name or name.startswith(_WINDOWS_STARTS) for name in lowered)


_WINDOWS_STARTS = ("win20", "win10", "win11")
