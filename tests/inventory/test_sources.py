"""All sources of a spec are merged to one inventory."""

import json
import random
from pathlib import Path

import msgspec
import pytest

from rollout.errors import Exit, RolloutError
from rollout.inventory import sources
from rollout.model import selector
from rollout.model.instance import Inventory, MissingInstance
from rollout.model.spec import EcsSource, Exclude, FileSource, KeyPairSpec, Source, Spec
from tests.inventory import samples
from tests.inventory.samples import Service, fleet

pytestmark = pytest.mark.asyncio
HANGZHOU, SHANGHAI = "cn-hangzhou", "cn-shanghai"
ECS = EcsSource((HANGZHOU, SHANGHAI))
FILE = FileSource("jsonl", "fleet.jsonl", region=HANGZHOU)


def spec(*inventory: Source) -> Spec:
    """Return a spec with these sources."""
    return Spec("quick", KeyPairSpec("k", "ssh-ed25519 A"), inventory, "")


def written(folder: Path, *ids: str) -> Path:
    """Return a project with a file that names these ids."""
    (folder / "fleet.jsonl").write_text("".join(f'"{each}"\n' for each in ids))
    return folder


async def refused(
    wanted: Spec, project: Path, service: Service | None, **options: int
) -> RolloutError:
    """Return the error of reading these sources."""
    with pytest.raises(RolloutError) as caught:
        await sources.collect(wanted, project, service, 7, **options)  # type: ignore[arg-type]
    return caught.value


async def test_a_live_fleet_is_read_and_sorted(tmp_path: Path) -> None:
    """The inventory is sorted by region and id, with its time and number of calls."""
    service = Service(list(reversed(fleet(150) + fleet(2, SHANGHAI))))

    inventory = await sources.collect(spec(ECS), tmp_path, service, 7)

    assert inventory == Inventory(tuple(fleet(150) + fleet(2, SHANGHAI)), 7, calls=3)


async def test_the_same_fleet_is_the_same_inventory(tmp_path: Path) -> None:
    """The digest does not depend on the order in which the service lists instances."""
    instances = fleet(120) + fleet(40, SHANGHAI)
    found = set()
    for seed in range(4):
        random.Random(seed).shuffle(instances)
        service = Service(instances)
        found.add((await sources.collect(spec(ECS), tmp_path, service, 7)).instances)

    assert len(found) == 1


async def test_files_say_which_the_service_says_what(tmp_path: Path) -> None:
    """Attributes in a file are replaced by those of the service."""
    one = fleet(1, tags=(("env", "prod"),))[0]
    row = samples.row(InstanceId=one.id, Status="Stopped", Tags=None)
    (tmp_path / "fleet.jsonl").write_text(json.dumps(row))

    inventory = await sources.collect(spec(FILE), tmp_path, Service([one]), 7)

    assert inventory == Inventory((one,), 7, calls=1)


@pytest.mark.parametrize(
    "first, second",
    [
        ({"Status": "Running"}, {"Status": "Stopped"}),
        ({"OSType": "Linux"}, {"OSType": "linux"}),
        ({"OSType": 7}, {"OSName": ["x"]}),
        ({"Tags": "bastion"}, {"OperationLocks": {"Since": 1}}),
        ({"ExpiredTime": "next year"}, {"IoOptimized": "maybe"}),
        ({"ZoneId": "cn-shanghai-b"}, {"TagSets": 1}),
    ],
)
async def test_fields_read_from_the_service_are_not_read_from_files(
    tmp_path: Path, first: dict[str, object], second: dict[str, object]
) -> None:
    """A live plan uses only the ids of a file: other columns are neither compared nor refused."""
    one = fleet(1)[0]
    rows = [samples.row(InstanceId=one.id, **fields) for fields in (first, second)]
    (tmp_path / "fleet.jsonl").write_text("\n".join(json.dumps(row) for row in rows))

    inventory = await sources.collect(spec(FILE), tmp_path, Service([one]), 7)

    assert (inventory.instances, inventory.merged) == ((one,), 1)


LIST = FileSource("ids", "fleet.ids", regions=(HANGZHOU, SHANGHAI))


async def test_ids_of_several_regions_are_looked_up_in_each(tmp_path: Path) -> None:
    """Ids without a region, as in the output of `-o ids`, are looked up in the listed regions."""
    rows = fleet(3) + fleet(2, SHANGHAI)
    (tmp_path / "fleet.ids").write_text("".join(f"{one.id}\n" for one in rows) + "i-bp1gone\n")

    service = Service(rows)
    inventory = await sources.collect(spec(LIST), tmp_path, service, 7)

    assert inventory.instances == tuple(rows)
    assert inventory.lost == (MissingInstance("i-bp1gone", "1", HANGZHOU),)
    assert [len(ids) for _, _, ids in service.asked("look")] == [6, 3]  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [True, False])
async def test_a_list_of_ids_agrees_with_sources_that_know_the_region(
    tmp_path: Path, *, first: bool
) -> None:
    """A region in another source is used, whatever the order of the sources."""
    rows = fleet(1, SHANGHAI)
    (tmp_path / "fleet.ids").write_text(f"{rows[0].id}\n")
    known = msgspec.structs.replace(FILE, region=SHANGHAI)
    for other in (known, EcsSource((SHANGHAI,))):
        both = (LIST, other) if first else (other, LIST)
        inventory = await sources.collect(
            spec(*both), written(tmp_path, rows[0].id), Service(rows), 7
        )
        assert (inventory.instances, inventory.merged) == (tuple(rows), 1)


async def test_a_list_of_ids_contradicts_another_region(tmp_path: Path) -> None:
    """An id that two sources place in different regions is a contradiction."""
    (tmp_path / "fleet.ids").write_text("i-bp1aaaa\n")
    other = msgspec.structs.replace(FILE, region="cn-beijing")

    for both in ((LIST, other), (other, LIST)):
        error = await refused(spec(*both), written(tmp_path, "i-bp1aaaa"), Service([]))
        assert error.problems[0].code == "R0205"


async def test_ids_of_several_regions_are_refused_offline(tmp_path: Path) -> None:
    """Offline, an id without a region is refused."""
    (tmp_path / "fleet.ids").write_text("i-bp1aaaa\n")

    error = await refused(spec(LIST), tmp_path, None)

    assert error.problems[0].code == "R0204"


async def test_columns_read_from_the_service_give_no_warning(tmp_path: Path) -> None:
    """Only unknown columns are noted; status and tags are in every export."""
    one = fleet(1)[0]
    head = "InstanceId,RegionId,Status,OSType,Tags,Owner\n"
    (tmp_path / "fleet.csv").write_text(f"{head}{one.id},{HANGZHOU},x,y,z,me\n")

    table = FileSource("csv", "fleet.csv")
    inventory = await sources.collect(spec(table), tmp_path, Service([one]), 7)

    assert inventory.notes == (("R0208", "fleet.csv: columns not used: Owner"),)


SELECTED = msgspec.structs.replace(FILE, select=selector.parse("env=prod"))
"""The same file, of which only production instances are selected."""


async def test_a_file_can_be_narrowed_by_tags_of_the_service(tmp_path: Path) -> None:
    """A selector uses the tags of the service; ids that it does not list stay lost."""
    prod, test = fleet(2)
    prod = msgspec.structs.replace(prod, tags=(("env", "prod"),))
    folder = written(tmp_path, prod.id, test.id, "i-bp1gone")

    inventory = await sources.collect(spec(SELECTED), folder, Service([prod, test]), 7)

    assert inventory.instances == (prod,)
    assert [one.id for one in inventory.lost] == ["i-bp1gone"]


async def test_what_another_source_names_is_not_narrowed(tmp_path: Path) -> None:
    """A selector applies to its own source only; the sources are merged."""
    rows = fleet(2)
    folder = written(tmp_path, *(one.id for one in rows))

    for other in (FILE, EcsSource((HANGZHOU,))):
        inventory = await sources.collect(spec(SELECTED, other), folder, Service(rows), 7)
        assert inventory.instances == tuple(rows)


async def test_offline_rules_by_tag_are_warned_of_where_no_tags_are(tmp_path: Path) -> None:
    """An exclusion by tags that cannot be evaluated offline causes a warning."""
    row = samples.row(InstanceId="i-bp1bastion", Tags=None)
    (tmp_path / "fleet.jsonl").write_text(json.dumps(row))
    rule = Exclude("by hand", select=selector.parse("role=bastion"))

    with_rule = msgspec.structs.replace(spec(FILE), exclude=(rule,))
    warned = await sources.collect(with_rule, tmp_path, None, 7)
    plain = await sources.collect(spec(FILE), tmp_path, None, 7)

    assert [code for code, _ in warned.notes] == ["R0317"]
    assert plain.notes == ()


async def test_offline_a_file_is_narrowed_by_its_own_tags(tmp_path: Path) -> None:
    """Offline, the inventory consists of the rows of the files."""
    rows = [
        samples.row(InstanceId="i-bp1prod", Tags={"env": "prod"}),
        samples.row(InstanceId="i-bp1test", Tags={"env": "test"}),
    ]
    (tmp_path / "fleet.jsonl").write_text("\n".join(json.dumps(row) for row in rows))

    inventory = await sources.collect(spec(SELECTED), tmp_path, None, 7)

    assert [one.id for one in inventory.instances] == ["i-bp1prod"]


async def test_ids_that_the_service_does_not_list_are_lost(tmp_path: Path) -> None:
    """Unknown ids stay in the inventory as lost, and the plan reports them (B-I12)."""
    service = Service(fleet(1))

    inventory = await sources.collect(
        spec(FILE), written(tmp_path, "i-bp1000000", "i-bp1gone", "i-bp1also"), service, 7
    )

    assert inventory.instances == tuple(fleet(1))
    assert inventory.lost == (
        MissingInstance("i-bp1also", "1", HANGZHOU),
        MissingInstance("i-bp1gone", "1", HANGZHOU),
    )


async def test_sources_that_overlap_are_one_fleet(tmp_path: Path) -> None:
    """An id in two sources is counted as merged and requested once (B-I20)."""
    service = Service(fleet(3))
    prod = EcsSource((HANGZHOU,), selector.parse("!legacy"))

    inventory = await sources.collect(
        spec(EcsSource((HANGZHOU,)), FILE, prod), written(tmp_path, "i-bp1000001"), service, 7
    )

    assert (len(inventory.instances), inventory.merged) == (3, 4)
    assert service.asked("look") == []


async def test_a_file_cannot_move_an_instance(tmp_path: Path) -> None:
    """An id listed live in one region and named in another is a contradiction (B-I07)."""
    service = Service(fleet(1, SHANGHAI))

    error = await refused(spec(ECS, FILE), written(tmp_path, "i-uf6000000"), service)

    assert (error.problems[0].code, error.exit) == ("R0205", Exit.BAD_INPUT)


async def test_nothing_at_all_is_refused(tmp_path: Path) -> None:
    """If permission is proved and no instance is found, the spec is refused without `--allow-empty`
    (B-S07).
    """
    error = await refused(spec(ECS), tmp_path, Service([]))
    assert (error.problems[0].code, error.exit) == ("R0210", Exit.BAD_INPUT)

    inventory = await sources.collect(spec(ECS), tmp_path, Service([]), 7, allow_empty=True)
    assert inventory.instances == ()


@pytest.mark.parametrize("found,earlier", [(0, 1), (4, 9), (49, 100)])
async def test_a_fleet_that_melted_away_is_not_believed(
    tmp_path: Path, found: int, earlier: int
) -> None:
    """Less than half of the last plan's instances ends with exit 6 (B-I13)."""
    error = await refused(spec(ECS), tmp_path, Service(fleet(found)), earlier=earlier)

    assert (error.problems[0].code, error.exit) == ("R0212", Exit.CONFLICT)
    assert str(earlier) in error.problems[0].message


@pytest.mark.parametrize("found,earlier", [(1, None), (5, 10), (10, 3), (1, 0)])
async def test_a_fleet_of_about_the_same_size_is(
    tmp_path: Path, found: int, earlier: int | None
) -> None:
    """Half or more, or no earlier plan, is accepted."""
    inventory = await sources.collect(
        spec(ECS), tmp_path, Service(fleet(found)), 7, earlier=earlier
    )

    assert len(inventory.instances) == found


async def test_a_fleet_may_shrink_where_that_is_said(tmp_path: Path) -> None:
    """`--allow-empty` accepts the smaller fleet."""
    inventory = await sources.collect(
        spec(ECS), tmp_path, Service(fleet(1)), 7, earlier=100, allow_empty=True
    )

    assert len(inventory.instances) == 1


async def test_offline_the_rows_are_all_there_is(tmp_path: Path) -> None:
    """Offline no call is made, the account is unknown, and the inventory is marked as not live."""
    (tmp_path / "fleet.jsonl").write_text(samples.line() + "\n" + samples.line())

    inventory = await sources.collect(spec(FILE), tmp_path, None, 7)

    (one,) = inventory.instances
    assert (inventory.live, inventory.merged, inventory.calls) == (False, 1, 0)
    assert (one.account, one.key_pair, one.locks) == ("", "ops-2026q3", ("financial",))


async def test_a_live_source_cannot_be_read_offline(tmp_path: Path) -> None:
    """A live source is refused offline, because a part of the fleet would be missing silently."""
    error = await refused(spec(FILE, ECS), written(tmp_path, "i-bp1000000"), None)

    assert (error.problems[0].code, error.exit) == ("R0214", Exit.BAD_INPUT)


async def test_the_problems_of_all_files_come_at_once(tmp_path: Path) -> None:
    """A missing file and an invalid row of another file are reported together; 74 precedes 65."""
    gone = FileSource("csv", "gone.csv")

    error = await refused(spec(FILE, gone), written(tmp_path, "i-bp1000000", "x"), Service([]))

    assert sorted(each.code for each in error.problems) == ["R0200", "R0203"]
    assert error.exit is Exit.IO
