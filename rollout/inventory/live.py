"""Instances as the service lists them: all regions at once, page by page, an empty answer doubted.

Called by `sources`. Knows nothing of files and of what will be done with the instances.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import anyio
import msgspec

from rollout.ecs import refusal
from rollout.ecs.replies import Region
from rollout.errors import AccessError, InventoryError, RolloutError, worst
from rollout.model import limits
from rollout.model.instance import Instance
from rollout.model.outcome import Done, Refused, Unknown
from rollout.model.selector import Operator, Selector

TAG_FILTERS_MAX = 20
"""Tag.N takes at most 20 tags (DescribeInstances reference)."""
TAG_MATCHES_MAX = 1_000
"""A tag filter is not sure to show more matches than this (DescribeInstances reference): a region
that shows as many is listed again without one."""
PAGES_MAX = 20_000
"""Pages of one region: two million instances."""
EMPTY_PAGES_MAX = 10
"""Empty pages in a row that still promise another."""
LOOKS_AT_ONCE = 8
"""Hydrating calls of one region on their way at once; the client paces them by lane."""
PASSES_MAX = 2
"""A listing that goes round in a circle is begun once more."""


K = TypeVar("K")
T = TypeVar("T")


class ListingPage(Protocol):
    """One page: what it shows and the token of the next, empty at the end."""

    @property
    def instances(self) -> tuple[Instance, ...]:
        """The instances of the page."""

    @property
    def next_token(self) -> str:
        """Where the next page begins."""

    @property
    def total(self) -> int:
        """How many instances the service counts in the whole answer, 0 where it does not say."""


class Lister(Protocol):
    """The read-only client interface that reading an inventory needs."""

    account: str

    async def describe_instances(
        self, region: str, filters: Mapping[str, str] | None = None, *, next_token: str = ""
    ) -> ListingPage | Refused | Unknown:
        """One page of up to 100 instances."""

    async def observe_instances(
        self, region: str, instances: Sequence[str]
    ) -> ListingPage | Refused | Unknown:
        """These instances, at most 100; what the service does not show is left out."""

    async def describe_regions(self) -> tuple[Region, ...] | Refused | Unknown:
        """The regions this account can use."""

    async def may_describe(self, region: str) -> Done | Refused | Unknown:
        """Check by dry run whether DescribeInstances is permitted."""


class Listed(msgspec.Struct):
    """What came of reading: instances, how many calls it took, and warnings for the plan."""

    instances: list[Instance]
    calls: int = 0
    notes: list[tuple[str, str]] = []
    allow_partial: bool = False


async def list_regions(
    lister: Lister, regions: Sequence[str], select: Selector | None, *, allow_partial: bool = False
) -> Listed:
    """All instances of these regions that the selector matches, each id once.

    Errors, of all regions at once: AccessError where one refuses or cannot be reached;
    InventoryError R0211 where an empty answer hides a missing permission, R0213 where pages
    contradict each other, R0215 where the service counts more than it shows. `allow_partial` makes
    a note of the last.
    """
    whole = Listed([], allow_partial=allow_partial)

    async def read(region: str) -> None:
        whole.instances.extend(await _Region(lister, region, whole).matching(select))

    await _all(read, regions)
    whole.notes.sort()
    return whole


async def hydrate(
    lister: Lister, ids: Mapping[str, Sequence[str]], *, allow_partial: bool = False
) -> Listed:
    """What the service shows of these ids, by region: 100 a call, all regions at once.

    Errors: as `list_regions`; a region that shows none of its ids is doubted.
    """
    whole = Listed([], allow_partial=allow_partial)

    async def read(region: str) -> None:
        whole.instances.extend(await _Region(lister, region, whole).named(ids[region]))

    await _all(read, [region for region, members in ids.items() if members])
    whole.notes.sort()
    return whole


class _Listing(msgspec.Struct):
    """What the pages of one region showed, and how many instances the last one counted."""

    seen: dict[str, Instance]
    total: int = 0


class _Region:
    """Reads one region; adds its calls to the whole."""

    def __init__(self, lister: Lister, region: str, whole: Listed) -> None:
        self._lister, self._region, self._whole = lister, region, whole

    async def matching(self, select: Selector | None) -> list[Instance]:
        """The region's instances that the selector matches."""
        filters = _filters(select)
        seen = await self._pages(filters)
        if filters and len(seen) >= TAG_MATCHES_MAX:
            seen = await self._pages({})
        if not seen:
            await self._doubt()
        return [one for one in seen if select is None or select.matches(one.tags)]

    async def named(self, ids: Sequence[str]) -> list[Instance]:
        """What the region shows of these ids."""
        found: list[Instance] = []
        limiter = anyio.CapacityLimiter(LOOKS_AT_ONCE)

        async def read(start: int) -> None:
            page = tuple(ids[start : start + limits.LOOK_IDS_MAX])
            async with limiter:
                found.extend(await self._look(page))

        await _all(read, range(0, len(ids), limits.LOOK_IDS_MAX))
        if not found:
            await self._doubt()
        return found

    async def _look(self, ids: Sequence[str]) -> tuple[Instance, ...]:
        """What the service shows of one page of ids; a partial answer is requested again."""
        for _ in range(PASSES_MAX):
            seen = await self._ask(self._lister.observe_instances, ids)
            if seen.total <= len(seen.instances):
                return seen.instances
        self._partial(seen.total, len(seen.instances))
        return seen.instances

    def _partial(self, total: int, shown: int) -> None:
        """Note that the service counts more than it shows, or raise InventoryError R0215."""
        message = (
            f"a part of a listing: TotalCount of DescribeInstances in {self._region} is {total:,}, "
            f"but only {shown:,} instances were returned"
        )
        if self._whole.allow_partial:
            self._whole.notes.append(("R0216", message))
            return
        hint = "try again; pass --allow-partial if a part is intended"
        raise InventoryError.of("R0215", message, help=hint)

    async def _pages(self, filters: Mapping[str, str]) -> list[Instance]:
        """All pages, each id once, as it was last seen. A listing that goes round in a circle, or
        that counts more than it shows, is read a second time.
        """
        listing = None
        for _ in range(PASSES_MAX):
            listing = await self._pass(filters)
            if listing is not None and listing.total <= len(listing.seen):
                return list(listing.seen.values())
        if listing is not None:
            self._partial(listing.total, len(listing.seen))
            return list(listing.seen.values())
        raise InventoryError.of(
            "R0213",
            f"the pages of DescribeInstances in {self._region} do not come to an end",
            help="try again; the fleet may be changing",
        )

    async def _pass(self, filters: Mapping[str, str]) -> _Listing | None:
        """Read all pages once; return None if they form a cycle."""
        listing = _Listing({})
        tokens = {""}
        token, empty = "", 0
        for _ in range(PAGES_MAX):
            call = functools.partial(self._lister.describe_instances, next_token=token)
            page = await self._ask(call, filters)
            listing.seen.update((one.id, one) for one in page.instances)
            listing.total = page.total
            empty = 0 if page.instances else empty + 1
            token = page.next_token
            if not token:
                return listing
            if token in tokens or empty > EMPTY_PAGES_MAX:
                return None
            tokens.add(token)
        return None

    async def _doubt(self) -> None:
        """An empty answer is not believed: a dry run tells whether we may look at all.

        Source: a RAM user without permission gets an empty list and no error (API facts, 11).
        """
        try:
            await self._ask(self._lister.may_describe)
        except AccessError as error:
            if error.problems[0].code != "R0403":
                raise
            raise InventoryError.of(
                "R0211",
                f"DescribeInstances returned 0 instances in {self._region}",
                notes=(
                    "The same call with DryRun=true was refused: no permission to look there.",
                    "The service answers an empty list then, so an empty fleet is not accepted.",
                ),
                help="grant ecs:DescribeInstances in that region, or drop the region",
                request_id=error.problems[0].request_id,
            ) from None

    async def _ask(
        self, call: Callable[..., Awaitable[T | Refused | Unknown]], *arguments: object
    ) -> T:
        """The answer to a call for the region; the client repeats what gets none.

        Errors: what `refusal.explain` makes of a failure.
        """
        answer = await call(self._region, *arguments)
        self._whole.calls += 1
        if isinstance(answer, Refused | Unknown):
            raise refusal.explain(answer, "DescribeInstances", self._region)
        return answer


async def _all(read: Callable[[K], Awaitable[None]], keys: Sequence[K]) -> None:
    """Read all of them at once; then raise the problems of all that failed, each once."""
    failures: list[RolloutError] = []

    async def guarded(key: K) -> None:
        try:
            await read(key)
        except RolloutError as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        for key in keys:
            tasks.start_soon(guarded, key)
    if failures:
        problems = tuple(dict.fromkeys(each for one in failures for each in one.problems))
        raise type(failures[0])(problems, worst(*(failure.exit for failure in failures)))


def _filters(select: Selector | None) -> dict[str, str]:
    """The selector's plain equalities as Tag.N, which the service can filter by itself."""
    if select is None:
        return {}
    plain = [
        (one.key, one.values[0])
        for one in select.requirements
        if one.operator is Operator.IN and len(one.values) == 1
    ]
    return {
        f"Tag.{number}.{part}": text
        for number, pair in enumerate(plain[:TAG_FILTERS_MAX], 1)
        for part, text in zip(("Key", "Value"), pair, strict=True)
    }
