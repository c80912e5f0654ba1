"""Select the targets, and give each excluded instance exactly one reason.

Called by `planner`. Pure; it knows no waves and no budgets.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from rollout.core.planning.chained import is_chained
from rollout.core.planning.scope import Scope, of_spec
from rollout.model.instance import Instance, MissingInstance, OsFamily, Proofs, Status
from rollout.model.plan import OUT_OF_BASE, Exclusion, Reason, RestartKind, Target
from rollout.model.site import Site
from rollout.model.spec import Exclude, Spec, Stopped
from rollout.model.time import Instant

Verdict = tuple[Reason, str] | None
"""None for a target, otherwise the reason and a detail for users."""

_LINUX, _WINDOWS = OsFamily.LINUX, OsFamily.WINDOWS
_RUNNING, _STOPPED = Status.RUNNING, Status.STOPPED
"""Global names: an attribute of an enum class costs 50 ns per instance."""


class NonTarget(NamedTuple):
    """An instance that is no target and was not Stopped: it may be a member of groups. `position`
    is that of its exclusion. `covered`: it is in the base of percentages.
    """

    position: int
    instance: Instance
    covered: bool


class Selection:
    """Divides an inventory page by page into targets and exclusions.

    `at` is the planning instant: it decides whether instances and exclusion rules have expired.
    `chosen` counts the targets; of these, `stopped` will be started, `keyless` have no key pair and
    `keyed` have the wanted one. `base`, the base of percentages, counts instances that the spec
    covers and that are not Stopped. It does not cover exclusions with a reason in `OUT_OF_BASE`.
    `unproven` holds the instances whose last rotation is unproven, with the key of that rotation.
    """

    def __init__(
        self,
        spec: Spec,
        proofs: Proofs,
        at: Instant,
        scope: Scope | None = None,
        unproven: Proofs | None = None,
    ) -> None:
        scope = scope or of_spec(spec)
        self.exclusions: list[Exclusion] = []
        self.chosen = self.base = self.stopped = self.keyless = self.keyed = 0
        self._names = [key.name for key in scope.keys]
        self._key_of = scope.key_of.get
        self._unproven = unproven or {}
        self._judge = _judge(spec, proofs, at, scope, self._unproven)

    def lose(self, lost: Iterable[MissingInstance]) -> None:
        """Exclude instances that a file names and the service does not list."""
        self.exclusions += [
            Exclusion(one.id, one.account, one.region, Reason.NOT_FOUND) for one in lost
        ]

    def choose(self, page: Iterable[Instance]) -> tuple[list[Instance], list[NonTarget]]:
        """Return the targets among these instances, in order, and the others that were not Stopped.
        All but the targets become exclusions.
        """
        judge, names, key_of = self._judge, self._names, self._key_of
        chosen: list[Instance] = []
        others: list[NonTarget] = []
        stopped = keyless = keyed = covered = 0
        for one in page:
            verdict = judge(one)
            if verdict is None:
                chosen.append(one)
                stopped += one.status is _STOPPED
                keyless += not one.key_pair
                keyed += one.key_pair == names[key_of(one.id, 0)]
            else:
                if one.status is not _STOPPED:
                    in_base = verdict[0] not in OUT_OF_BASE
                    covered += in_base
                    others.append(NonTarget(len(self.exclusions), one, in_base))
                self.exclusions.append(Exclusion(one.id, one.account, one.region, *verdict))
        self.chosen += len(chosen)
        self.base += len(chosen) - stopped + covered
        self.stopped += stopped
        self.keyless += keyless
        self.keyed += keyed
        return chosen, others

    def unproven_runs(self) -> list[str]:
        """Return the runs whose unproven rotations exclude instances, in order."""
        reason = Reason.FORMER_ROTATION_UNPROVEN
        chained = (one.instance for one in self.exclusions if one.reason is reason)
        return sorted({self._unproven[instance].run for instance in chained})

    def leave_out(self, site: Site, target: Target, detail: str) -> None:
        """Exclude a chosen target as narrowed. It stays in the base: it still serves traffic."""
        groups = target.groups if target.restart is RestartKind.REBOOT else ()
        self.exclusions.append(
            Exclusion(target.instance, *site, Reason.NARROWED, detail, groups or msgspec.UNSET)
        )
        self.chosen -= 1
        self.stopped -= target.restart is RestartKind.START
        self.keyless -= not target.former_key
        self.keyed -= not target.attach


def expired_rules(spec: Spec, at: Instant) -> tuple[Exclude, ...]:
    """Return the exclusion rules after their `until`, which exclude nothing."""
    return tuple(rule for rule in spec.exclude if rule.until is not None and rule.until <= at)


def rotatable_os(instance: Instance) -> Reason | None:
    """Return None for Linux, otherwise the reason for an exclusion.

    `OSType` decides. If it is Linux but the OS name or image is of Windows, the family is unknown
    (API facts, section 5).
    """
    if instance.os is _WINDOWS:
        return Reason.WINDOWS
    if instance.os is not _LINUX:
        return Reason.OS_UNKNOWN
    if _names_windows(instance.os_name, instance.image):
        return Reason.OS_UNKNOWN
    return None


def _judge(
    spec: Spec, proofs: Proofs, at: Instant, scope: Scope, unproven: Proofs
) -> Callable[[Instance], Verdict]:
    """Return the function that checks an instance, in the order of `Reason`."""
    wanted = [(key.name, key.public_key_digest) for key in scope.keys]
    key_of, left_out = scope.key_of.get, scope.left_out
    earlier = {} if spec.chain_unproven else unproven
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
        if instance.id in left_out:
            return left_out[instance.id]
        name, digest = wanted[key_of(instance.id, 0)]
        if instance.key_pair == name and _proved(proofs, instance.id, name, digest):
            return Reason.ALREADY_DONE, proofs[instance.id].run
        if instance.locks:
            return Reason.LOCKED, ", ".join(instance.locks)
        if 0 < instance.expires_at <= at:
            return Reason.EXPIRED, ""
        if not instance.io_optimized:
            return Reason.NOT_IO_OPTIMIZED, ""
        status = instance.status
        if status is not _RUNNING:
            if status is not _STOPPED:
                return Reason.TRANSITIONAL, status.value
            if leave_stopped:
                return Reason.STOPPED, ""
        if keep_passwords and not instance.key_pair:
            return Reason.PASSWORD_ONLY, ""
        if instance.id in earlier:
            before, key = earlier[instance.id], scope.keys[key_of(instance.id, 0)]
            if is_chained(before, instance.key_pair, key, scope.origin):
                return Reason.FORMER_ROTATION_UNPROVEN, f"{before.key_pair} in run {before.run}"
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
def _names_windows(*names: str) -> bool:
    """Return whether an OS name or image id is of Windows, such as `win2019_1809_x64_…`."""
    lowered = [name.lower() for name in names]
    return any("windows" in name or name.startswith(_WINDOWS_STARTS) for name in lowered)


_WINDOWS_STARTS = ("win20", "win10", "win11")
