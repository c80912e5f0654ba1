"""Regions outside the built-in list: the service is called, and one odd row refuses no file."""

import json
from pathlib import Path

import pytest

from rollout.ecs.replies import Region
from rollout.errors import Exit, RolloutError
from rollout.inventory import sources
from rollout.model.instance import MissingInstance
from rollout.model.outcome import Refused, RetryClass
from rollout.model.spec import EcsSource, FileSource, KeyPairSpec, Source, Spec
from tests.inventory import samples
from tests.inventory.samples import Service, fleet

pytestmark = pytest.mark.asyncio
NEW, TYPO, HANGZHOU = "cn-luoyang", "cn-hangzou", "cn-hangzhou"
DENIED = Refused("Forbidden.RAM", RetryClass.DENIED, "no")


def spec(*inventory: Source) -> Spec:
    """Return a spec with these sources."""
    return Spec("quick", KeyPairSpec("k", "ssh-ed25519 A"), inventory, "")


def service(*regions: str) -> Service:
    """Return an account with one instance in the new region, and these regions."""
    made = Service(fleet(1, NEW))
    made.regions = tuple(Region(region, "") for region in regions)
    return made


async def test_a_region_that_the_account_has_is_listed(tmp_path: Path) -> None:
    """A region that opened after the release can be used without an update of the program."""
    cloud = service(HANGZHOU, NEW)

    found = await sources.collect(spec(EcsSource((NEW,))), tmp_path, cloud, 7)

    assert [one.region for one in found.instances] == [NEW]


async def test_a_region_that_the_account_lacks_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    """A misspelled region in a spec is reported before anything is listed."""
    cloud = service(HANGZHOU)

    with pytest.raises(RolloutError) as caught:
        await sources.collect(spec(EcsSource((HANGZHOU, TYPO))), tmp_path, cloud, 7)

    (problem,) = caught.value.problems
    assert (problem.code, caught.value.exit) == ("R0204", Exit.BAD_INPUT)
    assert TYPO in problem.message and "did you mean `cn-hangzhou`?" in (problem.help or "")
    assert [call[0] for call in cloud.calls] == ["regions"]


async def test_an_odd_row_does_not_refuse_its_file(tmp_path: Path) -> None:
    """The instance of the odd row is not found; the others of the file are read."""
    here, odd = fleet(2)
    rows = [
        samples.row(InstanceId=here.id, RegionId=HANGZHOU),
        samples.row(InstanceId=odd.id, RegionId=TYPO, ZoneId=None),
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    cloud = Service([here])
    cloud.regions = (Region(HANGZHOU, ""),)

    found = await sources.collect(spec(FileSource("jsonl", "x.jsonl")), tmp_path, cloud, 7)

    assert [one.id for one in found.instances] == [here.id]
    assert found.lost == (MissingInstance(odd.id, "1", TYPO),)
    assert any(code == "R0204" and TYPO in text for code, text in found.notes)


async def test_known_regions_cost_no_call(tmp_path: Path) -> None:
    """DescribeRegions needs a permission, so it is called only for regions outside the list."""
    cloud = Service(fleet(1))

    await sources.collect(spec(EcsSource((HANGZHOU,))), tmp_path, cloud, 7)

    assert "regions" not in [call[0] for call in cloud.calls]


async def test_an_operator_may_skip_the_region_check(tmp_path: Path) -> None:
    """`--allow-unknown-region` works without the permission for DescribeRegions."""
    cloud = service()
    cloud.regions = DENIED
    wanted = spec(EcsSource((NEW,)))

    with pytest.raises(RolloutError) as caught:
        await sources.collect(wanted, tmp_path, cloud, 7)
    found = await sources.collect(wanted, tmp_path, cloud, 7, allow_unknown_region=True)

    assert "--allow-unknown-region" in (caught.value.problems[0].help or "")
    assert len(found.instances) == 1


async def test_offline_a_region_outside_the_list_is_warned_of(tmp_path: Path) -> None:
    """Offline, a misspelled region is a warning with the closest known region."""
    row = samples.row(RegionId=TYPO, ZoneId=None)
    (tmp_path / "x.jsonl").write_text(json.dumps(row), "utf-8")

    found = await sources.collect(spec(FileSource("jsonl", "x.jsonl")), tmp_path, None, 7)

    ((code, text),) = found.notes
    assert code == "R0204" and TYPO in text and "did you mean `cn-hangzhou`?" in text
