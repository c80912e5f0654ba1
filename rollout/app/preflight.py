"""Preflight checks that run before a plan is applied or a run is resumed.

Called by `apply` and `resume`, before they write the first line of a journal.
"""

from __future__ import annotations

import os
from collections.abc import Container
from typing import NamedTuple

from rollout import logs
from rollout.app import (
    connect,
    earlier_runs,
    former_keys,
    own_machine,
    parallel,
    runs,
    safety_rules,
)
from rollout.app.plan_file import SavedPlan
from rollout.app.runs import Folded
from rollout.ecs import refusal
from rollout.engines.service import Service
from rollout.errors import CODES, AccessError, ConfigError, ConflictError, PlanError, RolloutError
from rollout.journal.store import RunStore, of_plan
from rollout.model.observation import KeyDescribed
from rollout.model.outcome import Refused, RetryClass, Unknown
from rollout.model.phrase import Phrase, Wording, say
from rollout.model.plan import RULES, Plan, RegionKey, RestartKind, WantedKey, public_key_digest
from rollout.model.site import Site
from rollout.model.spec import Calls
from rollout.model.time import Instant, format_instant
from rollout.probes.gates import GateProbes

DRY_RUNS_MAX = 5
"""Number of targets to try until a dry run shows whether a restart is permitted."""
CLOCKS_APART_MS = 10 * 60_000
"""Maximum difference of the clocks of the machines that plan and apply. Each uses the service's
time if it differs by more than a minute."""
_OTHER_KEY = "does not have the plan's public key"


async def check(saved: SavedPlan, service: Service, store: RunStore) -> None:
    """Run the checks that need a clock, the runs directory or the service."""
    safety_rules.check_plan(saved.plan)
    check_time(saved.plan, service.clock.now())
    check_identity(saved.plan, service)
    check_runs(saved, store)
    earlier_runs.check_changed(saved, store)
    earlier_runs.check_chained(saved, store)
    check_gates(saved.plan)
    sites = sorted({cell.site for _, cell in saved.plan.cells()})
    own_machine.check(saved.plan, await own_machine.find(service, sites))
    await check_keys(saved.plan, service)
    await check_former_keys(saved.plan, service)
    await check_restarts(saved.plan, service)


async def check_resume(folded: Folded, service: Service) -> None:
    """Check the account and the permissions of the credentials before a run is resumed."""
    plan = folded.run.plan
    check_identity(plan, service)
    check_gates(plan)
    await check_restarts(plan, service, frozenset(runs.unfinished(folded)))


def check_gates(plan: Plan) -> None:
    """Raise ConfigError R0343 if a gate cannot be asked from this machine. Asks none."""
    source = gate_source()
    found = [problem for gate in plan.questions() for problem in source.problems(gate)]
    if found:
        raise ConfigError(tuple(found), CODES["R0343"].exit)


def gate_source() -> GateProbes:
    """Return the source of answers to gates on this machine. Logs and journals hide its secrets."""
    return GateProbes(os.environ, logs.hide)


def check_rules(plan: Plan) -> None:
    """Raise PlanError R0321 if the plan has another rules version."""
    if plan.rules != RULES:
        raise PlanError.of(
            "R0321",
            say(
                "the plan has rules version {rules}; this program uses {ours}",
                rules=plan.rules,
                ours=RULES,
            ),
            help=say(
                "this plan was created by {tool}; use that version, or create a new plan",
                tool=plan.tool,
            ),
        )


def check_plan(plan: Plan) -> None:
    """Raise PlanError R0321 for another rules version, ConflictError R0604 if not applyable."""
    check_rules(plan)
    if not plan.applyable:
        raise ConflictError.of(
            "R0604",
            say("the plan is not applyable: it was created offline"),
            help=say("plan again without --offline"),
        )


def check_time(plan: Plan, now: Instant) -> None:
    """Raise ConflictError R0601 if the plan has expired, or was created after `now`.

    Otherwise a clock that was ahead during planning would extend the plan's validity.
    """
    if plan.as_of > now + CLOCKS_APART_MS:
        raise ConflictError.of(
            "R0601",
            say(
                "the plan was created at {as_of}, but it is only {now}: a clock was wrong",
                as_of=format_instant(plan.as_of),
                now=format_instant(now),
            ),
            help=say("check the clock, then create a new plan"),
        )
    if now > plan.expires_at:
        raise ConflictError.of(
            "R0601",
            say(
                "the plan expired at {expires_at}: the fleet may have changed since",
                expires_at=format_instant(plan.expires_at),
            ),
            help=say("create a new plan"),
        )


def check_runs(saved: SavedPlan, store: RunStore) -> None:
    """Raise R0602 if the plan was already applied, or an open run has not finished its targets."""
    open_runs = runs.open_runs(store)
    for earlier in of_plan(store, saved.digest):
        if any(one.stored.id == earlier.id for one in open_runs):
            raise ConflictError.of(
                "R0602",
                say("a run is open on this plan: {run}", run=earlier.id),
                help=_continue(earlier.id),
            )
        raise ConflictError.of(
            "R0602",
            say("this plan was already applied, in run {run}", run=earlier.id),
            help=say("create a new plan"),
        )
    targets = {target.instance for target in saved.plan.targets()}
    for folded in open_runs:
        shared = [instance for instance in runs.unfinished(folded) if instance in targets]
        if shared:
            run = folded.stored.id
            raise ConflictError.of(
                "R0602",
                say(
                    "run {run} is open and has not finished {number:,} of these targets "
                    "({instances})",
                    run=run,
                    number=len(shared),
                    instances=shared[0] + (", …" if len(shared) > 1 else ""),
                ),
                help=say(
                    "{cure}; or exclude them with an `exclude` rule and plan again",
                    cure=_continue(run),
                ),
            )


def _continue(run: str) -> Phrase:
    return say(
        "run `rollout resume {run}` to continue it, or `rollout abort {run}` to close it", run=run
    )


def check_identity(plan: Plan, service: Service) -> None:
    """Raise R0405 if plan and credentials differ in account, or only one of them is emulated."""
    planned = {identity.account for identity in plan.identity}
    mine = service.identity
    if mine.account not in planned:
        raise AccessError.of(
            "R0405",
            say(
                "the plan is for account {planned}, the credentials are for {account} ({arn})",
                planned=", ".join(sorted(planned)),
                account=mine.account,
                arn=mine.arn,
            ),
            help=say("select other credentials with --profile"),
        )
    if any(identity.emulator != mine.emulator for identity in plan.identity):
        kinds = (say("the real service"), "EMULATOR")
        made, now = kinds if mine.emulator else kinds[::-1]
        raise AccessError.of(
            "R0405",
            say("the plan was created against {made}, this command uses {now}", made=made, now=now),
            help=say("add or remove --emulator or --endpoint"),
        )


async def check_keys(plan: Plan, service: Service) -> None:
    """Raise R0606 if a region's key pair was deleted or changed after planning."""

    async def check_key(key: tuple[WantedKey, RegionKey]) -> None:
        wanted, planned = key
        found = await connect.describe_key_pair(service, planned.site, wanted.name)
        if change := _change(wanted, planned, found):
            raise ConflictError.of(
                "R0606",
                say(
                    "key pair {name} in {region} {change}",
                    name=wanted.name,
                    region=planned.region,
                    change=change,
                ),
                help=say("give the new key pair a new name, then create a new plan")
                if change == _OTHER_KEY
                else say("create a new plan"),
            )

    keys = [(wanted, planned) for wanted in plan.keys for planned in wanted.regions]
    await parallel.check_all(check_key, keys)


async def check_former_keys(plan: Plan, service: Service) -> None:
    """Raise R0606 if a former key pair was deleted or changed: the run could not be undone."""
    found = await former_keys.describe(service, ((key.site, key.name) for key in plan.former()))
    for key in plan.former():
        if change := former_keys.change(key, found[key.site, key.name]):
            raise ConflictError.of(
                "R0606",
                say(
                    "former key pair {name} in {region} {change}; the run could not be undone",
                    name=key.name,
                    region=key.region,
                    change=change,
                ),
                help=say("restore the key pair; or create a new plan, which accepts the change"),
            )


async def check_restarts(
    plan: Plan, service: Service, unfinished: Container[str] | None = None
) -> None:
    """Raise an error unless dry runs show that the restarts are permitted. Without this check, keys
    could be attached that never take effect.

    Sends one dry run for each region, kind of restart and action. It names a target, or the next
    target if the refusal says nothing about permission. `unfinished` limits the targets; None means
    all. Errors: R0403 if denied, R0413 if no refusal is conclusive, R0410 to R0412 if the service
    did not answer or ignores `DryRun`.
    """

    async def check(item: tuple[Restarts, list[str]]) -> None:
        await check_restart(service, *item)

    await parallel.check_all(check, restarts_of(plan, unfinished).items())


class Restarts(NamedTuple):
    """Restarts of one site, kind and action; one dry run checks their permission."""

    site: Site
    kind: RestartKind
    many: bool

    @property
    def action(self) -> str:
        """The API action that restarts."""
        return self.kind.action(many=self.many)


async def check_restart(service: Service, restarts: Restarts, instances: list[str]) -> None:
    """Raise an error unless a dry run of one of these instances shows that it may be restarted."""
    site, kind, many = restarts
    found = await service.may_restart(site, kind, instances, many=many)
    if isinstance(found, Refused | Unknown):
        raise _unconfirmed(found, restarts.action, site.region)


def restarts_of(plan: Plan, unfinished: Container[str] | None = None) -> dict[Restarts, list[str]]:
    """Return the restarts of a plan, each with a few targets for its dry runs."""
    found: dict[Restarts, list[str]] = {}
    for many in (False, True) if plan.calls is Calls.BATCH else (False,):
        for _, cell in plan.cells():
            for target in cell.targets():
                if unfinished is not None and target.instance not in unfinished:
                    continue
                check = Restarts(cell.site, target.restart, many)
                named = found.setdefault(check, [])
                if len(named) < DRY_RUNS_MAX:
                    named.append(target.instance)
    return found


def _unconfirmed(outcome: Refused | Unknown, action: str, region: str) -> RolloutError:
    """Return the error for restarts whose permission no dry run confirmed."""
    if isinstance(outcome, Refused) and outcome.retry in _INCONCLUSIVE:
        return AccessError.of(
            "R0413",
            f"{action} in {region}: the permission could not be verified; the last dry run was "
            f"refused with {outcome.code} {outcome.message}".rstrip(),
            help=say(
                "create a new plan if the instances have changed; else look up the error code"
            ),
            request_id=outcome.request_id or None,
        )
    return refusal.explain(outcome, action, region)


_INCONCLUSIVE = frozenset(RetryClass) - {
    RetryClass.DENIED, RetryClass.CLOCK, RetryClass.THROTTLED, RetryClass.UNSENT
}  # fmt: skip
"""Refusals of a dry run that neither deny permission nor are temporary."""


def _change(wanted: WantedKey, planned: RegionKey, found: KeyDescribed) -> Wording:
    """Return how the key pair differs from the plan, or an empty text."""
    if not found.public_key:
        return say("was deleted after planning") if planned.present else ""
    if public_key_digest(found.public_key) != wanted.public_key_digest:
        return _OTHER_KEY
    if planned.present and planned.fingerprint != found.fingerprint:
        return say("was recreated after planning: the fingerprint changed")
    return ""
