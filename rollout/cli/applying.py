"""What must hold before a plan is applied or a run is gone on with, beyond the plan itself.

Called by `apply` and `resume`. Every refusal here comes before the first line of a journal.
"""

from __future__ import annotations

from pathlib import Path

import anyio

from rollout.cli import folding, refusal
from rollout.cli.planfile import Saved
from rollout.cli.planning import KEY_LOOKS_MAX
from rollout.ecs.look import DRY_RUN_IGNORED
from rollout.engines.ports import KeyDescribed
from rollout.engines.service import Service
from rollout.errors import AccessError, ConflictError, PlanError, RolloutError
from rollout.journal import runs
from rollout.model.outcome import Refused, RetryClass, Unknown
from rollout.model.plan import RULES, Plan, RegionKey, RestartKind, public_key_digest
from rollout.model.spec import Calls
from rollout.model.time import Instant, format_instant


async def check(saved: Saved, service: Service, runs_dir: Path) -> None:
    """All checks of a plan that need a clock, the runs or the service, in this order."""
    check_time(saved.plan, service.clock.now())
    check_identity(saved.plan, service)
    check_runs(saved, runs_dir)
    await check_keys(saved.plan, service)
    await check_restarts(saved.plan, service)


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


async def check_restarts(plan: Plan, service: Service) -> None:
    """R0403 where restarts are not permitted: a key that is attached and never comes into force
    leaves an instance exposed.

    Asked by dry run of one target for each region, kind of restart and action. Other refusals say
    nothing about rights: that instance may have been stopped since. R0412 where the service passes
    over `DryRun`: then it cannot be asked.
    """
    asked = {
        (cell.region, target.restart, many): target.instance
        for many in ((False, True) if plan.calls is Calls.BATCH else (False,))
        for wave in plan.waves
        for cell in wave.cells
        for batch in cell.batches
        for target in batch.targets
    }
    failures: list[RolloutError] = []
    limiter = anyio.CapacityLimiter(KEY_LOOKS_MAX)

    async def ask(region: str, kind: RestartKind, many: bool, instance: str) -> None:  # noqa: FBT001
        async with limiter:
            said = await service.may_restart(kind, region, instance, many=many)
        denied = isinstance(said, Refused) and said.retry is RetryClass.DENIED
        ignored = isinstance(said, Unknown) and said.why == DRY_RUN_IGNORED
        if isinstance(said, Refused | Unknown) and (denied or ignored):
            failures.append(refusal.explain(said, kind.action(many=many), region))

    async with anyio.create_task_group() as tasks:
        for (region, kind, many), instance in asked.items():
            tasks.start_soon(ask, region, kind, many, instance)
    _raise(failures)


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
