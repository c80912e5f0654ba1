"""Read instances from the service: all regions in parallel, page by page.

Called by `sources`. An empty listing is accepted only if a dry run shows that listing is permitted.
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
from rollout.model.observation import Described
from rollout.model.outcome import Done, Refused, Unknown
from rollout.model.phrase import say
from rollout.model.selector import Operator, Selector

TAG_FILTERS_MAX = 20
"""Tag.N takes at most 20 tags (DescribeInstances reference)."""
TAG_MATCHES_MAX = 1_000
"""A tag filter may return at most this many matches (DescribeInstances reference). A region with
that many is listed again without the filter."""
PAGES_MAX = 20_000
"""Maximum pages of one region: two million instances."""
EMPTY_PAGES_MAX = 10
"""Maximum consecutive empty pages with a NextToken."""
CALLS_OPEN_MAX = 8
"""Concurrent calls for ids in one region; the client limits their rate by lane."""
PASSES_MAX = 2
"""A listing whose pages form a cycle is read again once."""


K = TypeVar("K")
T = TypeVar("T")


class Lister(Protocol):
    """The read-only API calls that reading an inventory needs."""

    account: str

    async def describe_instances(
        self, region: str, filters: Mapping[str, str] | None = None, *, next_token: str = ""
    ) -> Described | Refused | Unknown:
        """Return a page of up to 100 instances."""

    async def observe_instances(
        self, region: str, instances: Sequence[str]
    ) -> Described | Refused | Unknown:
        """Return those of up to 100 instances that the service lists."""

    async def describe_regions(self) -> tuple[Region, ...] | Refused | Unknown:
        """Return the regions that the account can use."""

    async def may_describe(self, region: str) -> Done | Refused | Unknown:
        """Check by dry run whether DescribeInstances is permitted."""


class Listed(msgspec.Struct):
    """Instances, the number of calls that read them, and warnings for the plan."""

    instances: list[Instance]
    calls: int = 0
    notes: list[tuple[str, str]] = []
    allow_partial: bool = False


async def list_regions(
    lister: Lister,
    regions: Sequence[str],
    select: Selector | None,
    *,
    key_pair: str = "",
    allow_partial: bool = False,
) -> Listed:
    """Return all instances of these regions that the selector matches, each id once.

    With `key_pair`, only instances that have this key pair.

    Errors, collected over all regions: AccessError if a call is refused or has no reply;
    InventoryError R0211 if an empty listing hides a missing permission, R0213 if the pages form a
    cycle, R0215 if TotalCount is more than the instances listed (a note with `allow_partial`).
    """
    whole = Listed([], allow_partial=allow_partial)

    async def read(region: str) -> None:
        whole.instances.extend(await _Region(lister, region, whole).matching(select, key_pair))

    await _all(read, regions)
    whole.notes.sort()
    return whole


async def hydrate(
    lister: Lister, ids: Mapping[str, Sequence[str]], *, allow_partial: bool = False
) -> Listed:
    """Return those of the ids, by region, that the service lists: 100 per call, in parallel.

    Errors: as `list_regions`. A region that lists none of its ids counts as an empty listing.
    """
    whole = Listed([], allow_partial=allow_partial)

    async def read(region: str) -> None:
        whole.instances.extend(await _Region(lister, region, whole).named(ids[region]))

    await _all(read, [region for region, members in ids.items() if members])
    whole.notes.sort()
    return whole


class _Listing(msgspec.Struct):
    """The instances on the pages of one region, and the TotalCount of the last page."""

    instances: dict[str, Instance]
    total: int = 0


class _Region:
    """Reads one region, and adds its calls and notes to `whole`."""

    def __init__(self, lister: Lister, region: str, whole: Listed) -> None:
        self._lister, self._region, self._whole = lister, region, whole

    async def matching(self, select: Selector | None, key_pair: str) -> list[Instance]:
        """Return the region's instances that the selector matches, with this key pair if given."""
        tags, by_key = _filters(select), {"KeyPairName": key_pair} if key_pair else {}
        listed = await self._pages(tags | by_key, cut_at=TAG_MATCHES_MAX if tags else None)
        if tags and len(listed) >= TAG_MATCHES_MAX:
            listed = await self._pages(by_key)
        if not listed:
            await self._check_permission()
        return [one for one in listed if select is None or select.matches(one.tags)]

    async def named(self, ids: Sequence[str]) -> list[Instance]:
        """Return those of the ids that the region lists."""
        found: list[Instance] = []
        limiter = anyio.CapacityLimiter(CALLS_OPEN_MAX)

        async def read(start: int) -> None:
            page = tuple(ids[start : start + limits.OBSERVE_IDS_MAX])
            async with limiter:
                found.extend(await self._page(page))

        await _all(read, range(0, len(ids), limits.OBSERVE_IDS_MAX))
        if not found:
            await self._check_permission()
        return found

    async def _page(self, ids: Sequence[str]) -> tuple[Instance, ...]:
        """Return those of up to 100 ids that are listed. A partial reply is requested again."""
        for _ in range(PASSES_MAX):
            page = await self._call(self._lister.observe_instances, ids)
            if page.total <= len(page.instances):
                return page.instances
        self._partial(page.total, len(page.instances))
        return page.instances

    def _partial(self, total: int, listed: int) -> None:
        """Note an incomplete listing, or raise InventoryError R0215."""
        message = say(
            "incomplete listing: TotalCount of DescribeInstances in {region} is {total:,}, "
            "but only {listed:,} instances were returned",
            region=self._region,
            total=total,
            listed=listed,
        )
        if self._whole.allow_partial:
            self._whole.notes.append(("R0216", str(message)))
            return
        hint = say("try again; pass --allow-partial if an incomplete listing is intended")
        raise InventoryError.of("R0215", message, help=hint)

    async def _pages(
        self, filters: Mapping[str, str], *, cut_at: int | None = None
    ) -> list[Instance]:
        """Return the instances of all pages, each id once. A listing that is partial or whose pages
        form a cycle is read again once; one of `cut_at` instances, where a filter may end, is not.
        """
        listing = None
        for _ in range(PASSES_MAX):
            listing = await self._pass(filters)
            if listing is None:
                continue
            count = len(listing.instances)
            if listing.total <= count or (cut_at is not None and count >= cut_at):
                return list(listing.instances.values())
        if listing is not None:
            self._partial(listing.total, len(listing.instances))
            return list(listing.instances.values())
        raise InventoryError.of(
            "R0213",
            say("the pages of DescribeInstances in {region} do not end", region=self._region),
            help=say("try again; the fleet may be changing"),
        )

    async def _pass(self, filters: Mapping[str, str]) -> _Listing | None:
        """Read all pages once; return None if they form a cycle."""
        listing = _Listing({})
        tokens = {""}
        token, empty = "", 0
        for _ in range(PAGES_MAX):
            call = functools.partial(self._lister.describe_instances, next_token=token)
            page = await self._call(call, filters)
            listing.instances.update((one.id, one) for one in page.instances)
            listing.total = page.total
            empty = 0 if page.instances else empty + 1
            token = page.next_token
            if not token:
                return listing
            if token in tokens or empty > EMPTY_PAGES_MAX:
                return None
            tokens.add(token)
        return None

    async def _check_permission(self) -> None:
        """Raise R0211 if a dry run shows that the empty listing is a missing permission.

        Source: a RAM user without permission gets an empty list and no error (API facts, 11).
        """
        try:
            await self._call(self._lister.may_describe)
        except AccessError as error:
            if error.problems[0].code != "R0403":
                raise
            raise InventoryError.of(
                "R0211",
                say("DescribeInstances returned 0 instances in {region}", region=self._region),
                notes=(
                    say(
                        "The same call with DryRun=true was refused: no permission in this region."
                    ),
                    say(
                        "The service returns an empty list then, so an empty fleet is not accepted."
                    ),
                ),
                help=say("grant ecs:DescribeInstances in that region, or drop the region"),
                request_id=error.problems[0].request_id,
            ) from None

    async def _call(
        self, call: Callable[..., Awaitable[T | Refused | Unknown]], *arguments: object
    ) -> T:
        """Return the reply to a call for the region. Errors: those of `refusal.explain`."""
        reply = await call(self._region, *arguments)
        self._whole.calls += 1
        if isinstance(reply, Refused | Unknown):
            raise refusal.explain(reply, "DescribeInstances", self._region)
        return reply


async def _all(read: Callable[[K], Awaitable[None]], keys: Sequence[K]) -> None:
    """Read all keys in parallel, then raise the problems of all failures, each once."""
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
    """Return the equalities of the selector as Tag.N filters of the service."""
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
