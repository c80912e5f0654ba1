"""Instances as the service lists them: all regions at once, page by page, an empty answer doubted.

Called by `sources`. Knows nothing of files and of what will be done with the instances.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import anyio
import msgspec

from rollout.errors import AccessError, ConflictError, InventoryError, Problem, RolloutError
from rollout.model import limits
from rollout.model.instance import Instance
from rollout.model.outcome import Done, Refused, RetryClass, Unknown
from rollout.model.selector import Operator, Selector
from rollout.model.time import Instant

TAG_FILTERS_MAX = 20
"""Tag.N takes at most 20 tags (DescribeInstances reference)."""
PAGES_MAX = 100_000
"""Pages of one region: more than any account has instances for."""
LOOKS_AT_ONCE = 8
"""Hydrating calls of one region on their way at once; the client paces them by lane."""


class Page(Protocol):
    """One page: what it shows and the token of the next, empty at the end."""

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The instances of the page."""

    @property
    def api_time(self) -> Instant:
        """When the service answered."""

    @property
    def next_token(self) -> str:
        """Where the next page begins."""


class Lister(Protocol):
    """What reading an inventory needs of a client; nothing of it changes anything."""

    account: str

    async def describe_instances(
        self, region: str, filters: Mapping[str, str] | None = None, *, next_token: str = ""
    ) -> Page | Refused | Unknown:
        """One page of up to 100 instances."""

    async def look(self, region: str, instances: Sequence[str]) -> Page | Refused | Unknown:
        """These instances, at most 100; what the service does not show is left out."""

    async def may_describe(self, region: str) -> Done | Refused | Unknown:
        """Whether DescribeInstances is permitted, asked by dry run."""


class Listed(msgspec.Struct):
    """What came of reading: instances, and how many calls it took."""

    instances: list[Instance]
    calls: int = 0


async def list_regions(lister: Lister, regions: Sequence[str], select: Selector | None) -> Listed:
    """All instances of these regions that the selector matches.

    Errors: AccessError where a region refuses or cannot be reached, ConflictError R0213 where its
    pages contradict each other; InventoryError R0211 where an empty answer hides a missing
    permission.
    """
    parts = {region: Listed([]) for region in regions}
    failures: list[RolloutError] = []

    async def read(region: str) -> None:
        try:
            await _list_region(lister, region, select, parts[region])
        except RolloutError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        for region in regions:
            tasks.start_soon(read, region)
    _raise_all(failures)
    return Listed(
        [one for part in parts.values() for one in part.instances],
        sum(part.calls for part in parts.values()),
    )


async def hydrate(lister: Lister, ids: Mapping[str, Sequence[str]]) -> Listed:
    """What the service shows of these ids, by region: 100 a call, all regions at once."""
    found = Listed([])
    failures: list[RolloutError] = []

    async def read(region: str, page: Sequence[str], limiter: anyio.CapacityLimiter) -> None:
        async with limiter:
            seen = await lister.look(region, tuple(page))
        found.calls += 1
        if isinstance(seen, Refused | Unknown):
            failures.append(refused(seen, region))
        else:
            found.instances += seen.instances

    async with anyio.create_task_group() as tasks:
        for region, members in ids.items():
            limiter = anyio.CapacityLimiter(LOOKS_AT_ONCE)
            for start in range(0, len(members), limits.LOOK_IDS_MAX):
                tasks.start_soon(
                    read, region, members[start : start + limits.LOOK_IDS_MAX], limiter
                )
    _raise_all(failures)
    for region, members in ids.items():
        if members and not any(one.region == region for one in found.instances):
            found.calls += 1
            await doubt(lister, region)
    return found


async def doubt(lister: Lister, region: str) -> None:
    """An empty answer is not believed: a dry run tells whether we may look at all.

    Source: a RAM user without permission gets an empty list and no error (API facts, fact 11).
    """
    answer = await lister.may_describe(region)
    if isinstance(answer, Done):
        return
    if isinstance(answer, Refused) and answer.retry is RetryClass.DENIED:
        raise InventoryError.of(
            "R0211",
            f"DescribeInstances returned 0 instances in {region}",
            notes=(
                "The same call with DryRun=true was refused: no permission to look there.",
                "The service answers an empty list then, so an empty fleet is not believed.",
            ),
            help="grant ecs:DescribeInstances, or drop the region",
            request_id=answer.request_id or None,
        )
    raise refused(answer, region)


def refused(outcome: Refused | Unknown, region: str) -> RolloutError:
    """An error for a reading call that brought nothing."""
    if isinstance(outcome, Unknown):
        return AccessError.of(
            "R0412",
            f"DescribeInstances in {region} brought no readable answer: {outcome.why}",
            help="try again; if it stays so, look at the network between here and the endpoint",
            request_id=outcome.request_id or None,
        )
    code = {
        RetryClass.DENIED: "R0403",
        RetryClass.CLOCK: "R0404",
        RetryClass.UNSENT: "R0410",
    }.get(outcome.retry, "R0411")
    return AccessError.of(
        code,
        f"DescribeInstances in {region}: {outcome.code} {outcome.message}".rstrip(),
        help="check credentials, permissions and the name of the region",
        request_id=outcome.request_id or None,
    )


async def _list_region(lister: Lister, region: str, select: Selector | None, part: Listed) -> None:
    filters = _filters(select)
    seen: dict[str, Instance] = {}
    tokens: dict[str, None] = {}
    token = ""
    for _ in range(PAGES_MAX):
        page = await lister.describe_instances(region, filters, next_token=token)
        part.calls += 1
        if isinstance(page, Refused | Unknown):
            raise refused(page, region)
        for one in page.instances:
            seen[one.id] = one
        token = page.next_token
        if not token:
            break
        if token in tokens:
            raise ConflictError.of(
                "R0213",
                f"the pages of DescribeInstances in {region} go round in a circle",
                help="try again; the fleet may be changing",
            )
        tokens[token] = None
    if not seen:
        part.calls += 1
        await doubt(lister, region)
    part.instances = [one for one in seen.values() if select is None or select.matches(one.tags)]


def _filters(select: Selector | None) -> dict[str, str]:
    """The selector's plain equalities as Tag.N, which the service can filter by itself."""
    if select is None:
        return {}
    filters = {}
    plain = [
        (one.key, one.values[0])
        for one in select.requirements
        if one.operator is Operator.IN and len(one.values) == 1
    ]
    for number, (key, value) in enumerate(plain[:TAG_FILTERS_MAX], 1):
        filters[f"Tag.{number}.Key"] = key
        filters[f"Tag.{number}.Value"] = value
    return filters


def _raise_all(failures: Sequence[RolloutError]) -> None:
    """Every region's problem at once, with the exit code of the first."""
    if failures:
        problems: tuple[Problem, ...] = tuple(
            problem for failure in failures for problem in failure.problems
        )
        raise type(failures[0])(problems, failures[0].exit)
