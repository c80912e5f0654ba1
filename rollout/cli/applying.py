"""What must hold before a plan is applied or a run is gone on with, beyond the plan itself.

Called by `apply` and `resume`. Every refusal here comes before the first line of a journal.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

import anyio

from rollout.cli import folding
from rollout.cli.folding import Folded
from rollout.cli.planfile import Saved
from rollout.cli.planning import KEY_LOOKS_MAX
from rollout.ecs import refusal
from rollout.engines.ports import KeyDescribed
from rollout.engines.service import Service
from rollout.errors import AccessError, ConflictError, PlanError, RolloutError
from rollout.journal import runs
from rollout.model.outcome import Refused, RetryClass, Unknown
from rollout.model.plan import RULES, Plan, RegionKey, RestartKind, public_key_digest
from rollout.model.spec import Calls
from rollout.model.time import Instant, format_instant

DRY_RUNS_MAX = 5
"""Targets that are named in turn until a dry run tells whether a restart is permitted."""


async def check(saved: Saved, service: Service, runs_dir: Path) -> None:
    """All checks of a plan that need a clock, the runs or the service, in this order."""
    check_time(saved.plan, service.clock.now())
    check_identity(saved.plan, service)
    check_runs(saved, runs_dir)
    await check_keys(saved.plan, service)
    await check_restarts(saved.plan, service)


async def check_resume(folded: Folded, service: Service) -> None:
    """The checks of a run that is resumed: whose credentials these are and what they permit."""
    plan = folded.run.plan
    check_identity(plan, service)
    await check_restarts(plan, service, frozenset(folding.unfinished(folded)))


def check_rules(plan: Plan) -> None:
    """R0321 where it was made by other rules."""
    if plan.rules != RULES:
        raise PlanError.of(
            "R0321",
            f"the plan goes by rules {plan.rules}, this program by {RULES}",
            help=f"it was made by {plan.tool}: use that version, or make a new plan",
        )


def check_plan(plan: Plan) -> None:
    """R0321 where it was made by other rules, R0604 where it is not applyable."""
    check_rules(plan)
    if not plan.applyable:
        why = "planning met errors" if plan.errored else "it was made offline"
        raise ConflictError.of(
            "R0604", f"the plan is not applyable: {why}", help="plan again without --offline"
        )


def check_time(plan: Plan, now: Instant) -> None:
    """R0601 where the plan is past its expiry."""
    if now > plan.expires_at:
        raise ConflictError.of(
            "R0601",
            f"the plan was valid until {format_instant(plan.expires_at)}: the fleet may have "
            "changed since",
            help="make a new plan",
        )


def check_runs(saved: Saved, runs_dir: Path) -> None:
    """R0602 where the plan was applied already, or an open run has not finished its targets."""
    open_runs = folding.open_runs(runs_dir)
    for earlier in runs.of_plan(runs_dir, saved.digest):
        is_open = any(one.run_dir == earlier.path for one in open_runs)
        raise ConflictError.of(
            "R0602",
            f"a run is open on this plan: {earlier.id}"
            if is_open
            else f"this plan was applied already, in run {earlier.id}",
            help=f"rollout resume {earlier.id}" if is_open else "make a new plan from its spec",
        )
    targets = {
        target.instance
        for wave in saved.plan.waves
        for cell in wave.cells
        for batch in cell.batches
        for target in batch.targets
    }
    for folded in open_runs:
        shared = [instance for instance in folding.unfinished(folded) if instance in targets]
        if shared:
            raise ConflictError.of(
                "R0602",
                f"run {folded.run_dir.name} is open and has not finished {len(shared):,} of these "
                f"targets ({shared[0]}{', …' if len(shared) > 1 else ''})",
                help=f"rollout resume {folded.run_dir.name}; or leave them out with an `exclude` "
                "rule and plan again",
            )


def check_identity(plan: Plan, service: Service) -> None:
    """R0405 where the credentials are of another account than the plan, or one is emulated."""
    planned = {identity.account for identity in plan.identity}
    mine = service.identity
    if mine.account not in planned:
        raise AccessError.of(
            "R0405",
            f"the plan is for account {', '.join(sorted(planned))}, the credentials are of "
            f"{mine.account} ({mine.arn})",
            help="name other credentials with --profile",
        )
    if any(identity.emulator != mine.emulator for identity in plan.identity):
        made, now = ("EMULATOR", "the real service") if not mine.emulator else (
            "the real service", "EMULATOR")  # fmt: skip
        raise AccessError.of(
            "R0405",
            f"the plan was made against {made}, this would apply it to {now}",
            help="set or leave out --emulator or --endpoint",
        )


async def check_keys(plan: Plan, service: Service) -> None:
    """R0606 where a region's key pair is gone, or another one, since the plan was made."""
    failures: list[RolloutError] = []
    limiter = anyio.CapacityLimiter(KEY_LOOKS_MAX)

    async def ask(planned: RegionKey) -> None:
        async with limiter:
            seen = await service.look_at_key(planned.region, plan.key_pair.name)
        if not isinstance(seen, KeyDescribed):
            failures.append(refusal.explain(seen, "DescribeKeyPairs", planned.region))
        elif change := _change(plan, planned, seen):
            failures.append(
                ConflictError.of(
                    "R0606",
                    f"key pair {plan.key_pair.name} in {planned.region} {change}",
                    help="make a new plan",
                )
            )

    async with anyio.create_task_group() as tasks:
        for planned in plan.key_pair.regions:
            tasks.start_soon(ask, planned)
    _raise(failures)


async def check_restarts(
    plan: Plan, service: Service, unfinished: Container[str] | None = None
) -> None:
    """Refuse unless the service shows that the restarts are permitted: a key that is attached and
    never takes effect leaves an instance exposed.

    One dry run for each region, kind of restart and action names a target, or the next one where
    its refusal says nothing about permission; `unfinished` are the targets that matter, all where
    it is None. Errors: R0403 where they are denied, R0413 where no refusal tells, R0410 to R0412
    where the service did not answer or ignores `DryRun`.
    """
    failures: list[RolloutError] = []
    limiter = anyio.CapacityLimiter(KEY_LOOKS_MAX)

    async def ask(check: _Restarts, instances: list[str]) -> None:
        async with limiter:
            found = await service.may_restart(check.kind, check.region, instances, many=check.many)
        if isinstance(found, Refused | Unknown):
            failures.append(_unconfirmed(found, check.kind.action(many=check.many), check.region))

    async with anyio.create_task_group() as tasks:
        for check, instances in _restarts(plan, unfinished).items():
            tasks.start_soon(ask, check, instances)
    _raise(failures)


class _Restarts(NamedTuple):
    """Restarts whose permission one dry run shows."""

    region: str
    kind: RestartKind
    many: bool


def _restarts(plan: Plan, unfinished: Container[str] | None) -> dict[_Restarts, list[str]]:
    """The restarts of a plan, and a few targets of each for a dry run to name."""
    found: dict[_Restarts, list[str]] = {}
    for many in (False, True) if plan.calls is Calls.BATCH else (False,):
        for wave in plan.waves:
            for cell in wave.cells:
                for batch in cell.batches:
                    for target in batch.targets:
                        if unfinished is not None and target.instance not in unfinished:
                            continue
                        check = _Restarts(cell.region, target.restart, many)
                        named = found.setdefault(check, [])
                        if len(named) < DRY_RUNS_MAX:
                            named.append(target.instance)
    return found


def _unconfirmed(outcome: Refused | Unknown, action: str, region: str) -> RolloutError:
    """The error for restarts that no dry run showed to be permitted."""
    if isinstance(outcome, Refused) and outcome.retry in _UNTELLING:
        return AccessError.of(
            "R0413",
            f"{action} in {region}: no dry run shows whether it is permitted; the last one was "
            f"refused with {outcome.code} {outcome.message}".rstrip(),
            help="make a new plan if the instances have changed; else see what the code means",
            request_id=outcome.request_id or None,
        )
    return refusal.explain(outcome, action, region)


_UNTELLING = frozenset(RetryClass) - {
    RetryClass.DENIED, RetryClass.CLOCK, RetryClass.THROTTLED, RetryClass.UNSENT
}  # fmt: skip
"""Refusals of a dry run that neither deny permission nor go away by themselves."""


def _raise(failures: list[RolloutError]) -> None:
    if failures:
        problems = tuple(problem for failure in failures for problem in failure.problems)
        raise RolloutError(problems, failures[0].exit)


def _change(plan: Plan, planned: RegionKey, seen: KeyDescribed) -> str:
    """How the key pair differs from what the plan saw; empty where it does not."""
    if not seen.public_key:
        return "is gone" if planned.present else ""
    if public_key_digest(seen.public_key) != plan.key_pair.public_key_digest:
        return "has another public key than the plan's"
    if planned.present and planned.fingerprint != seen.fingerprint:
        return "was made anew since the plan: its fingerprint differs"
    return ""
