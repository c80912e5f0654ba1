"""Make the plan from a spec, an inventory and proofs.

Called by `app` and the simulator. Pure: the same inputs give byte-identical plans.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from rollout.core.planning import last, scope, selection, windows
from rollout.core.planning.groups import Groups
from rollout.core.planning.narrowing import Narrower, Narrowing
from rollout.core.planning.scope import Scope
from rollout.core.planning.waves import FleetTargets, end_ungated, make_waves
from rollout.errors import PlanError
from rollout.model import approval, limits
from rollout.model.approval import Approvers
from rollout.model.instance import Digest, Inventory, Proofs
from rollout.model.phrase import say
from rollout.model.plan import (
    BudgetText,
    Counts,
    Estimate,
    Exclusion,
    Group,
    Identity,
    Plan,
    PlanLimits,
    PlanOverride,
    Reason,
    RegionKey,
    RestartKind,
    Warn,
    Wave,
)
from rollout.model.site import Lane
from rollout.model.spec import FLEET, Budget, Calls, OnUnknown, Spec
from rollout.model.text import some
from rollout.model.time import MINUTE, SECOND, Duration, Instant
from rollout.model.windows import PlanWindows


class PlanContext(msgspec.Struct, frozen=True):
    """Further inputs of planning, in addition to spec and inventory.

    `identity` and `keys` were read from the service (empty offline). `tool` is the program's
    version. `boot_time_ms` and `calls_per_minute` feed the estimate only. `scope` limits the plan
    to instances of a closed run, with a wanted key for each. `narrowing` leaves targets out.
    `unproven` holds the instances whose last rotation is unproven, with the key of that rotation.
    `overrides` records fields that options replaced in the spec.
    `windows` are the expanded windows of the spec, and `warnings` belong in the plan.
    `user` is the OS user that plans, an author for `approvals`.
    `own` is the id of the instance that runs rollout, empty if it runs elsewhere.
    """

    tool: str
    identity: tuple[Identity, ...] = ()
    keys: tuple[RegionKey, ...] = ()
    age_max_ms: Duration = limits.PLAN_AGE_MAX_MS
    narrowing: Narrowing = Narrowing()
    boot_time_ms: Duration = 60 * SECOND
    calls_per_minute: int = 300
    scope: Scope | None = None
    unproven: Proofs = {}
    overrides: tuple[PlanOverride, ...] = ()
    windows: PlanWindows | None = None
    warnings: tuple[Warn, ...] = ()
    user: str = ""
    own: str = ""


def make_plan(
    spec: Spec, inventory: Inventory, proofs: Proofs, at: Instant, context: PlanContext
) -> Plan:
    """Return the plan: which instances are rotated, in which order, and how many may be down.

    Each instance of the inventory, including missing ones, is exactly one target or exclusion.
    `at` and all times in the plan are milliseconds since the epoch, UTC.
    Errors: PlanError R0312 if a budget or wave comes to 0, R0313 above `maxInstances`, R0327 if no
    budget limits a target; as `Narrower.narrow`.
    Source: 50 ids per call and the Windows rule: AttachKeyPair reference.
    """
    scoped = context.scope or scope.of_spec(spec, context.keys)
    selected = selection.Selection(spec, proofs, at, scoped, context.unproven)
    targets, narrower = FleetTargets(scoped), Narrower(context.narrowing, spec)
    grouping = Groups(spec.budgets)
    digest = _read(inventory, selected, targets, grouping, narrower)
    groups = grouping.made()
    ordered = last.order(spec.last, targets.sorted(), len(groups), context.own)
    groups += ordered.groups(len(spec.budgets))
    size_min = int(context.scope is not None)
    all_waves = make_waves(spec, ordered.first, groups, size_min=size_min) + ordered.waves(spec)
    budgets = (*map(_budget_text, spec.budgets), *ordered.budgets())
    narrowed, groups = narrower.narrow(all_waves, groups, len(budgets), selected)
    waves = end_ungated(narrowed)
    others = (*last.warnings(ordered, waves), *context.warnings)
    _check_made(spec, selected.chosen, context.windows, at, at + context.age_max_ms)
    return Plan(
        tool=context.tool,
        name=spec.name,
        labels=spec.labels,
        spec_text=spec.text,
        spec_digest=f"sha256:{hashlib.sha256(spec.text.encode()).hexdigest()}",
        made_at=at,
        expires_at=at + context.age_max_ms,
        as_of=inventory.as_of,
        identity=context.identity,
        inventory_digest=digest,
        counts=_counts(inventory, selected),
        applyable=inventory.live and bool(context.identity),
        keys=scoped.keys,
        restart=spec.restart,
        on_unknown=spec.on_unknown,
        on_failure=spec.on_failure or msgspec.UNSET,
        approvals=_approvers(spec, context) or msgspec.UNSET,
        notify=spec.notify or msgspec.UNSET,
        limits=PlanLimits(spec.limits.exposed_max, spec.limits.leave_quota_ppm),
        budgets=(*budgets, *narrower.budgets()),
        groups=tuple(groups),
        waves=waves,
        exclusions=_exclusions(selected, grouping, narrower.groups(len(groups))),
        warnings=(*_warnings(spec, inventory, selected, groups, all_waves, scoped, at), *others),
        estimate=_estimate(waves, groups, spec.restart.calls, context),
        origin=scoped.origin or msgspec.UNSET,
        narrowed=context.narrowing.recorded(),
        verify=spec.verify or msgspec.UNSET,
        overrides=context.overrides or msgspec.UNSET,
        windows=context.windows or msgspec.UNSET,
        kinds=targets.kinds() or msgspec.UNSET,
        gates=spec.gates if any(wave.gates for wave in waves) else msgspec.UNSET,
    )


def _read(
    inventory: Inventory,
    selected: selection.Selection,
    targets: FleetTargets,
    grouping: Groups,
    narrower: Narrower,
) -> str:
    """Select and group all instances in one pass, because they are made page by page. Return the
    digest of the inventory. Errors: PlanError R0327.
    """
    digest = Digest()
    selected.lose(inventory.lost)
    for page in inventory.pages():
        digest.add(page)
        chosen, others = selected.choose(page)
        targets.add(chosen, grouping.add(chosen))
        grouping.count(others)
        narrower.add(page)
    digest.add(inventory.lost)
    narrower.add(inventory.lost)
    _check_grouped(grouping.ungrouped)
    return digest.text()


def _exclusions(
    selected: selection.Selection, grouping: Groups, fleet: Sequence[int]
) -> tuple[Exclusion, ...]:
    """Return the exclusions with the groups that they are members of. `fleet` are further groups of
    the whole fleet.
    """
    found = selected.exclusions
    for position, one in enumerate(found if fleet else ()):
        if one.reason is Reason.NARROWED and one.groups:
            found[position] = msgspec.structs.replace(one, groups=(*one.groups, *fleet))
    for position, groups in grouping.members_outside(fleet):
        found[position] = msgspec.structs.replace(found[position], groups=groups)
    return tuple(found)


def _budget_text(budget: Budget) -> BudgetText:
    return BudgetText(budget.by, budget.text, budget.at_least, budget.restarts_per_10m)


def _counts(inventory: Inventory, selected: selection.Selection) -> Counts:
    reasons = Counter(exclusion.reason for exclusion in selected.exclusions)
    excluded = {reason.value: reasons[reason] for reason in Reason if reasons[reason]}
    found = len(inventory.instances) + len(inventory.lost)
    return Counts(found, selected.chosen, excluded)


def _approvers(spec: Spec, context: PlanContext) -> Approvers | None:
    """Return who must approve the plan. Errors: PlanError R0363 if they are too few."""
    rule = spec.approvals
    if rule is None:
        return None
    author = approval.author_names(context.user, (one.arn for one in context.identity))
    made = Approvers(rule.required, rule.keys, rule.not_author, author)
    if len(made.eligible()) < rule.required:
        raise PlanError.of(
            "R0363",
            say(
                "{required} approvals are required, but only {eligible} of the keys may approve a "
                "plan of {author}",
                required=rule.required,
                eligible=len(made.eligible()),
                author=", ".join(author),
            ),
            help=say("add keys to `approvals.keys`, or let another person create the plan"),
        )
    return made


def _check_made(
    spec: Spec, targets: int, planned: PlanWindows | None, at: Instant, expires_at: Instant
) -> None:
    """Errors: PlanError R0313 for too many targets, R0345 without a window before the expiry."""
    _check_size(spec, targets)
    if planned is not None and targets:
        windows.check(planned, at, expires_at, spec.restart.longest_ms)


def _check_size(spec: Spec, targets: int) -> None:
    bound = spec.limits.instances_max
    if bound is not None and targets > bound:
        raise PlanError.of(
            "R0313",
            say(
                "{targets:,} targets, but limits.maxInstances is {bound:,}",
                targets=targets,
                bound=bound,
            ),
            help=say("narrow the inventory or raise limits.maxInstances"),
        )


def _check_grouped(ungrouped: int) -> None:
    if ungrouped:
        raise PlanError.of(
            "R0327",
            say("no budget limits how many of {ungrouped:,} targets are down", ungrouped=ungrouped),
            help=say("add a budget for all instances, for example `{{ by: fleet, maxDown: 5% }}`"),
        )


def _warnings(
    spec: Spec,
    inventory: Inventory,
    selected: selection.Selection,
    groups: Sequence[Group],
    waves: Sequence[Wave],
    scoped: Scope,
    at: Instant,
) -> tuple[Warn, ...]:
    out = Counter(one.reason for one in selected.exclusions)
    missing = sum(not region.present for key in scoped.keys for region in key.regions)
    one_by_one = [group for group in groups if group.cap == 1 and group.key == FLEET]
    used = {group.budget for group in groups}
    unused = [one.by for index, one in enumerate(spec.budgets) if index not in used]
    kept_waves = {wave.name for wave in waves}
    empty = [wave.name for wave in spec.waves if wave.name not in kept_waves and waves]
    warnings = [
        _warn("R0302", selected.stopped, "stopped instance", "will be started and billed "
              "(restart.stopped: start)."),
        _warn("R0303", selected.keyless, "instance", "will permanently lose password "
              "login (allowPasswordLoss)."),
        _warn("R0301", out[Reason.PASSWORD_ONLY], "instance", "left out because rotation would "
              "permanently end password login."),
        _warn("R0350", out[Reason.FORMER_ROTATION_UNPROVEN], "instance", "left out because the "
              f"last rotation is unproven: {_to_finish(selected.unproven_runs())}"),
        _warn("R0323", out[Reason.NO_FORMER_KEY], "instance", "left out because of a missing "
              "former key: undo attaches key pairs, it never detaches them."),
        _warn("R0324", out[Reason.FORMER_KEY_LOST], "instance", "left out because the former key "
              "pair was deleted or changed."),
        _warn("R0325", out[Reason.OTHER_KEY], "instance", "left out because the run's key pair is "
              "no longer attached."),
        _warn("R0315", selected.keyed, "target", "with the key already attached: this runs "
              "directory has no proof of a later boot, so apply restarts them again."),
        _warn("R0304", inventory.merged, "row", "about the same instance merged."),
        _warn("R0305", len(selection.expired_rules(spec, at)), "exclusion", "expired."),
        _warn("R0308", missing, "region", "without the key pair yet; it will be imported."),
        _warn("R0316", len(empty), "wave", f"left out because earlier waves take all targets: "
              f"{', '.join(empty)}."),
        _warn("R0309", len(one_by_one), "budget", "with room for one instance: instances "
              "restart one at a time."),
        _warn("R0328", len(unused) if waves else 0, "budget", f"without a target in a group: "
              f"{', '.join(unused)}."),
        _warn("R0344", _unsampled(spec, selected.chosen), "target", "but no onFailure.failed: "
              "failedPercent counts from minSample on, which this plan never reaches."),
        _warn("R0306", 0 if inventory.live else selected.chosen, "target", "created without API "
              "calls (--offline): this plan cannot be applied."),
        _warn("R0307", _doubtful(spec, selected.chosen), "target", f"under onUnknown: "
              f"{spec.on_unknown.value}: a restart in doubt may happen twice or not at all."),
    ]  # fmt: skip
    notes = [Warn(code, 0, text) for code, text in inventory.notes]
    return tuple([warning for warning in warnings if warning.count] + notes)


def _to_finish(runs: Sequence[str]) -> str:
    """Return what to do first about the runs that left rotations unproven."""
    if len(runs) == 1:
        return f"retry or undo run {runs[0]} first."
    return f"retry or undo these runs first: {some(runs)}."


def _warn(code: str, count: int, noun: str, rest: str) -> Warn:
    return Warn(code, count, f"{noun}{'' if count == 1 else 's'} {rest}")


def _doubtful(spec: Spec, targets: int) -> int:
    return 0 if spec.on_unknown is OnUnknown.HOLD else targets


def _unsampled(spec: Spec, targets: int) -> int:
    """Return the number of targets if it is below `minSample` and nothing else halts the run."""
    rule = spec.on_failure
    return targets if rule and not rule.failed and targets < rule.min_sample else 0


def _estimate(
    waves: Sequence[Wave], groups: Sequence[Group], calls: Calls, context: PlanContext
) -> Estimate:
    """Return the calls by action, and the duration from waves, permits, boots, bakes and quota.

    A quota applies to one action in one region. An emulator has none.
    """
    counts: Counter[str] = Counter()
    duration = 0
    emulated = any(one.emulator for one in context.identity)
    for wave in waves:
        lanes: Counter[Lane] = Counter()
        reboots: Counter[tuple[int, ...]] = Counter()
        for cell in wave.cells:
            kinds = Counter(target.restart for target in cell.targets())
            reboots.update(t.groups for t in cell.targets() if t.restart is RestartKind.REBOOT)
            attaching = sum(any(t.attach for t in batch.targets) for batch in cell.batches)
            counts["DescribeInstances"] += len(cell.batches) + attaching
            lanes[Lane(cell.site, "AttachKeyPair")] += attaching
            for kind, number in kinds.items():
                action = kind.action(many=calls is Calls.BATCH)
                lanes[Lane(cell.site, action)] += _calls(number, calls)
        for lane, number in lanes.items():
            counts[lane.action] += number
        boots = _rounds(reboots, groups) * context.boot_time_ms
        sending = 0 if emulated else max(lanes.values()) * MINUTE // context.calls_per_minute
        duration += max(boots, sending) + wave.bake_ms
    duration = max(duration, _paced(waves, groups))
    ordered = {action: counts[action] for action in sorted(counts) if counts[action]}
    return Estimate(ordered, duration, context.boot_time_ms)


def _rounds(reboots: Mapping[tuple[int, ...], int], groups: Sequence[Group]) -> int:
    """Return how many times in a row the slowest group reboots as many as its cap; at least 1."""
    members: Counter[int] = Counter()
    for several, number in reboots.items():
        for group in several:
            members[group] += number
    return max((-(-number // groups[group].cap) for group, number in members.items()), default=1)


def _paced(waves: Sequence[Wave], groups: Sequence[Group]) -> Duration:
    """Return how long the rates delay the last restart: each holds for all waves together."""
    rated = {number for number, group in enumerate(groups) if group.rate}
    restarts: Counter[int] = Counter()
    if rated:
        for wave in waves:
            for cell in wave.cells:
                restarts.update(one for t in cell.targets() for one in t.groups if one in rated)
    windows = ((number - 1) // groups[group].rate for group, number in restarts.items())
    return max(windows, default=0) * limits.RATE_WINDOW_MS


def _calls(number: int, calls: Calls) -> int:
    return number if calls is Calls.SINGLE else -(-number // limits.RESTART_IDS_MAX)
