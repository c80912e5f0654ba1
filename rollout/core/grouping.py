"""Groups with caps, and the fleet cut into waves, cells and batches.

Called by `planner`. Cutting keeps the inventory's order inside a cell, takes waves as even
strides so that each has its share of every region, and makes no batch larger than may be down
together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from rollout.errors import PlanError, RolloutError
from rollout.model import limits
from rollout.model.instance import Instance, Status, Tags
from rollout.model.plan import Batch, Cell, Group, RestartKind, Target, Wave
from rollout.model.spec import Budget, Spec, WaveKind, WaveSpec

Chosen = Sequence[Instance]


def make_groups(budgets: Sequence[Budget], members: int, reboots: int) -> list[Group]:
    """One group a budget (`by: fleet` only so far), with its cap as a number.

    `members` are the instances that were not Stopped when planned, chosen or not: a stopped one
    serves nobody, so it is neither in the base of a percent nor counted down. `reboots` of them
    are chosen. PlanError R0312 where a cap comes to 0 or passes the group's size while something
    has to be rebooted.
    """
    groups = []
    for index, budget in enumerate(budgets):
        cap = budget.max_down.of(members)
        if reboots and not 0 < cap <= members:
            raise _bad_budget(index, budget, members, cap)
        groups.append(Group(budget.by, index, cap, members, members - reboots))
    return groups


def make_waves(spec: Spec, chosen: Chosen, groups: Sequence[Group]) -> tuple[Wave, ...]:
    """The chosen instances in waves, cells and batches, each exactly once.

    Waves that come out empty because earlier ones took everything are left out. PlanError R0312
    where a share of the targets comes to 0.
    """
    caps = [group.cap for group in groups if group.cap]
    batch_max = min([limits.ATTACH_IDS_MAX, spec.limits.exposed_max, *caps])
    membership = tuple(range(len(groups)))
    waves = []
    for wave, members in zip(spec.waves, _shares(spec.waves, chosen), strict=True):
        if members:
            cells = _cells(members, batch_max, membership, spec.key_pair.name)
            waves.append(Wave(wave.name, tuple(cells)))
    return tuple(waves)


def restart_kind(status: Status) -> RestartKind:
    """What puts a key in force on an instance in this status."""
    return RestartKind.START if status is Status.STOPPED else RestartKind.REBOOT


def _shares(waves: Sequence[WaveSpec], chosen: Chosen) -> list[list[Instance]]:
    """What each wave takes of what the waves before it left."""
    rest = list(chosen)
    shares = []
    for wave in waves:
        taken = _taken(wave, rest, len(chosen))
        if len(taken) == len(rest):
            shares.append(rest)
            rest = []
            continue
        kept = bytearray(len(rest))
        for position in taken:
            kept[position] = 1
        shares.append([rest[position] for position in taken])
        rest = [one for position, one in enumerate(rest) if not kept[position]]
    return shares


def _taken(wave: WaveSpec, rest: Chosen, total: int) -> Sequence[int]:
    """Positions in `rest` that this wave takes, ascending."""
    if wave.kind is WaveKind.REST or not rest:
        return range(len(rest))
    if wave.kind is WaveKind.COVER:
        return _cover(rest)
    if wave.amount is None:
        message = f"wave {wave.name} has no amount"
        raise PlanError.of("R0312", message)
    count = wave.amount.of(total)
    if count == 0:
        raise PlanError.of(
            "R0312",
            f"wave `{wave.name}`: {wave.amount} of {total} targets comes to 0",
            help="write a count, for example `size: 1`",
        )
    count = min(count, len(rest))
    by_lane = sorted(range(len(rest)), key=lambda at: (rest[at].account, rest[at].region))
    return sorted(by_lane[number * len(rest) // count] for number in range(count))


def _cover(rest: Chosen) -> list[int]:
    """The first of every image, zone and value of the tag `tier` (no tag is a value too)."""
    alike: dict[tuple[str, str, Tags], int] = {}  # few: whole tag sets first, then what they say
    for position, one in enumerate(rest):
        alike.setdefault((one.image, one.zone, one.tags), position)
    seen: dict[tuple[str, str, str], int] = {}
    for (image, zone, tags), position in alike.items():
        tier = next((value for key, value in tags if key == "tier"), "")
        seen.setdefault((image, zone, tier), position)
    return sorted(seen.values())


def _cells(
    members: Iterable[Instance], batch_max: int, membership: tuple[int, ...], wanted: str
) -> Iterable[Cell]:
    lanes: defaultdict[tuple[str, str], list[Target]] = defaultdict(list)
    for one in members:
        status, former = one.status, one.key_pair
        kind = restart_kind(status)
        lanes[one.account, one.region].append(
            Target(one.id, one.zone, one.image, status, former, former != wanted, kind, membership)
        )
    for (account, region), targets in sorted(lanes.items()):
        for page in _even_pages(targets, limits.CELL_INSTANCES_MAX):
            batches = tuple(
                Batch(tuple(page[start : start + batch_max]))
                for start in range(0, len(page), batch_max)
            )
            yield Cell(account, region, batches)


def _even_pages(targets: list[Target], size: int) -> Iterable[list[Target]]:
    """As few pages of at most `size` as there can be, of nearly equal length."""
    pages = -(-len(targets) // size)
    for page in range(pages):
        start, end = page * len(targets) // pages, (page + 1) * len(targets) // pages
        yield targets[start:end]


def _bad_budget(index: int, budget: Budget, members: int, cap: int) -> RolloutError:
    if cap == 0:
        message = f"budgets[{index}]: {budget.max_down} of {budget.by} ({members}) comes to 0"
        cure = "write an absolute number, for example `maxDown: 1`"
    else:
        message = f"budgets[{index}]: {budget.max_down} is more than {budget.by} has ({members})"
        cure = f"write at most {members}, or a percent"
    return PlanError.of("R0312", message, help=cure)
