"""An incomplete listing is not accepted as the fleet, in files and in replies of the service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rollout.errors import Exit, InventoryError
from rollout.inventory import live
from rollout.model.instance import Instance
from rollout.model.observation import Described
from tests.inventory import samples
from tests.inventory.samples import Service, fleet, listing, page, row

A, B, C = "i-bp1aaaa0001", "i-bp1aaaa0002", "i-bp1aaaa0003"
HANGZHOU, SHANGHAI = "cn-hangzhou", "cn-shanghai"


def one(instance: str, region: str = HANGZHOU) -> dict[str, Any]:
    """Return a row of this instance."""
    return row(InstanceId=instance, RegionId=region, ZoneId="")


PARTS: list[tuple[str, list[dict[str, Any]], str]] = [
    ("more than its rows", [page(one(A), one(B), TotalCount=208, PageNumber=1)], "208"),
    ("as text", [page(one(A), TotalCount="2")], "TotalCount is 2"),
    (
        "a page is missing",
        [page(one(A), TotalCount=3, PageNumber=1), page(one(C), TotalCount=3, PageNumber=3)],
        "only 2 instances are here (pages 1, 3)",
    ),
    (
        "the same page twice",
        [page(one(A), TotalCount=2, PageNumber=1), page(one(A), TotalCount=2, PageNumber=1)],
        "only 1 instances",
    ),
    ("no total, page 2 alone", [page(one(A), PageNumber=2)], "page 1 of 2 is missing"),
    ("a token at the end", [page(one(A), token="abc")], "NextToken"),
    (
        "a token before another region",
        [page(one(A), token="abc"), page(one(B, SHANGHAI))],
        f"{HANGZHOU}: ",
    ),
    (
        "one region of two",
        [page(one(A), TotalCount=1), page(one(B, SHANGHAI), TotalCount=9)],
        f"{SHANGHAI}: ",
    ),
    ("a page behind the end", [page(TotalCount=7, PageNumber=9)], "TotalCount is 7"),
    (
        "an SDK's body",
        [{"body": {"instances": {"instance": [{"instanceId": A}]}, "totalCount": 9}}],
        "TotalCount is 9",
    ),
    (
        "Resource Center",
        [
            {
                "Resources": [{"ResourceId": A, "ResourceType": "ACS::ECS::Instance"}],
                "NextToken": "abc",
            }
        ],
        "NextToken",
    ),
    (
        "statuses",
        [{"InstanceStatuses": {"InstanceStatus": [{"InstanceId": A}]}, "TotalCount": 9}],
        "TotalCount is 9",
    ),
]

WHOLES: list[tuple[str, list[dict[str, Any]]]] = [
    ("one page", [page(one(A), one(B), TotalCount=2, PageNumber=1, PageSize=10)]),
    (
        "pages in any order",
        [page(one(n), TotalCount=3, PageNumber=k) for n, k in ((C, 3), (A, 1), (B, 2))],
    ),
    ("pages by token", [page(one(A), token="abc", TotalCount=0), page(one(B), TotalCount=0)]),
    ("an empty last page", [page(one(A), token="abc"), page()]),
    (
        "an empty page behind the last one",
        [page(one(A), TotalCount=1, PageNumber=1), page(TotalCount=1, PageNumber=2)],
    ),
    (
        "two regions, page by page",
        [page(one(A), TotalCount=1), page(one(B, SHANGHAI), TotalCount=1)],
    ),
    ("more rows than counted", [page(one(A), one(B), TotalCount=1)]),
    ("nothing stated", [page(one(A), TotalCount=None, PageNumber=None, NextToken=None)]),
]


def content(kind: str, parts: list[dict[str, Any]]) -> str:
    """Return the pages as a file of this format."""
    lines = [json.dumps(part) for part in parts]
    return "\n".join(lines) if kind == "jsonl" else f"[{','.join(lines)}]"


@pytest.mark.parametrize("kind", ["json", "jsonl"])
@pytest.mark.parametrize("parts, words", [x[1:] for x in PARTS], ids=[x[0] for x in PARTS])
def test_a_part_of_a_listing_is_refused_with_its_counts(
    tmp_path: Path, kind: str, parts: list[dict[str, Any]], words: str
) -> None:
    """A total above the number of rows, a missing page or a token without a next page: exit 65."""
    with pytest.raises(InventoryError) as caught:
        samples.read(tmp_path, f"fleet.{kind}", content(kind, parts), region=HANGZHOU)

    (problem,) = caught.value.problems
    assert (problem.code, caught.value.exit) == ("R0215", Exit.BAD_INPUT)
    assert words in problem.message
    assert "--allow-partial" in (problem.help or "")


@pytest.mark.parametrize("parts, words", [x[1:] for x in PARTS[:8]], ids=[x[0] for x in PARTS[:8]])
def test_a_part_is_accepted_where_that_is_said(
    tmp_path: Path, parts: list[dict[str, Any]], words: str
) -> None:
    """`--allow-partial` turns the refusal into a warning with the same counts."""
    found = samples.read(tmp_path, "fleet.json", content("json", parts), allow_partial=True)

    assert found.instances
    assert [code for code, _ in found.notes] == ["R0216"]
    assert words in found.notes[0][1]


@pytest.mark.parametrize("kind", ["json", "jsonl"])
@pytest.mark.parametrize("parts", [x[1] for x in WHOLES], ids=[x[0] for x in WHOLES])
def test_a_whole_listing_is_read(tmp_path: Path, kind: str, parts: list[dict[str, Any]]) -> None:
    """Complete pages are accepted in any order, by token or by number, also of several regions."""
    found = samples.read(tmp_path, f"fleet.{kind}", content(kind, parts), region=HANGZHOU)

    assert (found.problems, found.notes) == ([], [])
    assert found.instances


@pytest.mark.parametrize("facts", [{"TotalCount": "many"}, {"PageNumber": -1}, {"TotalCount": 1.5}])
def test_a_count_that_is_none_is_refused(tmp_path: Path, facts: dict[str, Any]) -> None:
    """A page fact that cannot be read is refused, not ignored."""
    found = samples.read(tmp_path, "fleet.json", json.dumps(page(one(A), **facts)))

    assert [problem.code for problem in found.problems] == ["R0201"]


class Counting(Service):
    """A service whose TotalCount is more than its instances in the first `wrong` listings."""

    wrong = 99

    async def describe_instances(self, *args: Any, **options: Any) -> Any:
        return self._counted(await super().describe_instances(*args, **options))

    async def observe_instances(self, *args: Any) -> Any:
        return self._counted(await super().observe_instances(*args))

    def _counted(self, shown: Any) -> Described:
        self.wrong -= 1
        return listing(shown.instances, shown.next_token, len(shown.instances) + (self.wrong >= 0))


async def listed(service: Service, *, allow_partial: bool = False) -> live.Listed:
    """Return the only region of the service."""
    return await live.list_regions(service, [HANGZHOU], None, allow_partial=allow_partial)


async def instances_observed(service: Service, *, allow_partial: bool = False) -> live.Listed:
    """Return the instances of the service by their ids."""
    ids = [instance.id for instance in service.fleet]
    return await live.hydrate(service, {HANGZHOU: ids}, allow_partial=allow_partial)


@pytest.mark.asyncio
@pytest.mark.parametrize("read", [listed, instances_observed])
async def test_an_incomplete_live_listing_is_refused(read: Any) -> None:
    """An incomplete listing is read again; then exit 65, or a warning with `--allow-partial`."""
    passing, failing = Counting(fleet(3)), Counting(fleet(3))
    passing.wrong = 1

    assert len((await read(passing)).instances) == 3
    with pytest.raises(InventoryError) as caught:
        await read(failing)
    accepted = await read(failing, allow_partial=True)

    assert caught.value.problems[0].code == "R0215"
    assert "is 4, but only 3" in caught.value.problems[0].message
    found: list[Instance] = accepted.instances
    assert (len(found), [code for code, _ in accepted.notes]) == (3, ["R0216"])
