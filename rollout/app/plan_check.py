"""Check that the fields of a plan are consistent with one another.

Called by `plan_file` for every plan that is read. Pure. It reports all contradictions at once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from rollout.core.planning import waves
from rollout.errors import Exit, Place, PlanError, Problem
from rollout.model import limits, spec
from rollout.model.instance import Status, is_id
from rollout.model.plan import (
    OUT_OF_BASE,
    BudgetText,
    Plan,
    Reason,
    RestartKind,
    Target,
    public_key_digest,
)
from rollout.model.signed_note import NoteError


def check(plan: Plan, place: Place | None = None) -> None:
    """Raise PlanError R0322 (exit 65) if the plan contradicts itself."""
    found = [Problem("R0322", text, place) for text in contradictions(plan)]
    if found:
        raise PlanError(tuple(found), Exit.BAD_INPUT)


def contradictions(plan: Plan) -> Iterator[str]:
    """Yield one sentence for each contradiction."""
    targets = list(plan.targets())
    if not all(0 <= target.key < len(plan.keys) for target in targets):
        yield "a target's key is not in the list of keys"
        return
    if not all(0 <= target.kind < len(plan.target_kinds()) for target in targets):
        yield "a target's kind is not in the list of kinds"
        return
    yield from _header(plan)
    yield from _keys(plan)
    yield from _approvers(plan)
    yield from _shape(plan)
    yield from _members(plan, targets)
    yield from _counts(plan, targets)
    yield from _groups(plan, targets)


def _header(plan: Plan) -> Iterator[str]:
    if not spec.is_name(plan.name):
        yield f"`{plan.name}` is not a name"
    if plan.spec_digest != f"sha256:{hashlib.sha256(plan.spec_text.encode()).hexdigest()}":
        yield "spec_digest does not match spec_text"
    if plan.expires_at < plan.made_at:
        yield "expires_at is before made_at"
    if plan.applyable and not plan.identity:
        yield "it is applyable, but without identity"
    if Reason.NARROWED.value in plan.counts.excluded and not plan.narrowed:
        yield "it excludes instances as narrowed, but does not name what narrowed it"


def _keys(plan: Plan) -> Iterator[str]:
    """The key material, and one key pair of a name in each region."""
    for key in plan.keys:
        if key.public_key_digest != public_key_digest(key.public_key):
            yield f"key {key.name}: public_key_digest does not match public_key"
    names = Counter((one.account, one.region, key.name) for key in plan.keys for one in key.regions)
    for (_, region, name), times in names.items():
        if times > 1:
            yield f"key {name} appears {times} times in {region}"


def _approvers(plan: Plan) -> Iterator[str]:
    """The verifier keys of approvals: valid, each once, and enough of them."""
    approvers = plan.approvers()
    if approvers is None:
        return
    try:
        keys = approvers.verifiers()
    except NoteError as error:
        yield f"approvals: {error}"
        return
    if len({key.public for key in keys}) < len(keys):
        yield "approvals: two keys are the same"
    if not 1 <= approvers.required <= len(keys):
        yield f"approvals: {approvers.required} required of {len(keys)} keys"


def _shape(plan: Plan) -> Iterator[str]:
    for name, times in Counter(wave.name for wave in plan.waves).items():
        if times > 1:
            yield f"wave {name} appears {times} times"
    known = [{one.site for one in key.regions} for key in plan.keys]
    for wave in plan.waves:
        if not wave.cells:
            yield f"wave {wave.name} has no cells"
        for cell in wave.cells:
            where = f"wave {wave.name}, {cell.region}"
            sizes = [len(batch.targets) for batch in cell.batches]
            if not 0 < sum(sizes) <= limits.CELL_INSTANCES_MAX:
                yield f"{where}: a cell of {sum(sizes):,} targets"
            if not all(0 < size <= limits.ATTACH_IDS_MAX for size in sizes):
                yield f"{where}: a batch has 1 to {limits.ATTACH_IDS_MAX} targets"
            keys = [{target.key for target in batch.targets} for batch in cell.batches]
            if any(len(one) > 1 for one in keys):
                yield f"{where}: a batch has targets with different keys"
            missing = [
                plan.keys[key].name
                for key in sorted(set[int]().union(*keys))
                if plan.applyable and cell.site not in known[key]
            ]
            if missing:
                yield f"{where}: the region's key pair {', '.join(missing)} is missing"


def _members(plan: Plan, targets: list[Target]) -> Iterator[str]:
    ids = Counter([one.instance for one in targets] + [out.instance for out in plan.exclusions])
    for instance, times in ids.items():
        if times > 1:
            yield f"{instance} appears {times} times"
        if not is_id(instance):
            yield f"`{instance}` is not an instance id"
    for target in targets:
        if target.status not in (Status.RUNNING, Status.STOPPED):
            yield f"{target.instance} was {target.status.value} when planned"
        if target.restart is not waves.restart_kind(target.status):
            yield f"{target.instance}: {target.restart.value} does not fit {target.status.value}"
        if target.attach is not (target.former_key != plan.keys[target.key].name):
            yield f"{target.instance}: attach does not fit the former key"


def _counts(plan: Plan, targets: list[Target]) -> Iterator[str]:
    counts = plan.counts
    if counts.targets != len(targets):
        yield f"counts.targets is {counts.targets:,}, there are {len(targets):,}"
    if counts.excluded != Counter(out.reason.value for out in plan.exclusions):
        yield "counts.excluded does not match the exclusions"
    if counts.found != len(targets) + len(plan.exclusions):
        yield "counts.found is not targets plus exclusions"


def _groups(plan: Plan, targets: list[Target]) -> Iterator[str]:
    members: Counter[int] = Counter()
    for target in targets:
        if list(target.groups) != sorted(set(target.groups)) or not all(
            0 <= group < len(plan.groups) for group in target.groups
        ):
            yield f"{target.instance} belongs to groups that do not exist"
        members.update(target.groups if target.restart is RestartKind.REBOOT else ())
    outside = Counter[int]()
    for out in plan.exclusions:
        groups = out.groups or ()
        if list(groups) != sorted(set(groups)) or not set(groups) <= set(range(len(plan.groups))):
            yield f"{out.instance} belongs to groups that do not exist"
        outside.update(groups if out.reason not in OUT_OF_BASE else ())
    covered = sum(out.reason not in OUT_OF_BASE for out in plan.exclusions)
    for index, group in enumerate(plan.groups):
        if not 0 <= group.budget < len(plan.budgets):
            yield f"group {group.key} belongs to no budget"
        elif group.members != group.others + members[index]:
            yield f"group {group.key}: members is not others plus targets"
        elif not 0 <= group.others <= covered:
            yield f"group {group.key}: others is {group.others:,}, at most {covered:,} are possible"
        elif group.others < outside[index]:
            yield f"group {group.key}: others is {group.others:,}, {outside[index]:,} are listed"
        elif group.cap != _cap(plan.budgets[group.budget], group.members):
            yield f"group {group.key}: cap is not {plan.budgets[group.budget].max_down or 'all'}"
        elif group.rate != plan.budgets[group.budget].restarts_per_10m:
            yield f"group {group.key}: rate is not that of its budget"
        elif members[index] and not group.cap:
            yield f"group {group.key}: a cap of 0"
    capped = [
        0 <= one.budget < len(plan.budgets) and bool(plan.budgets[one.budget].max_down)
        for one in plan.groups
    ]
    if not all(any(capped[group] for group in target.groups) for target in targets):
        yield "no budget limits how many instances are down"


def _cap(budget: BudgetText, members: int) -> int | None:
    try:
        amount = spec.parse_amount(budget.max_down) if budget.max_down else None
        return spec.Budget(budget.by, amount, budget.at_least).cap(members)
    except ValueError:
        return None
