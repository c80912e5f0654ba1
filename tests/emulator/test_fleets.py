"""Synthetic fleets and fleets from files: what is in them, and that they can be made again."""

import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rollout.emulator import settings_files
from rollout.emulator.cloud.fleet import Fleet
from rollout.emulator.cloud.lifecycle import BaseStatus, OperationLock
from rollout.emulator.cloud.state import ObservedInstance
from rollout.emulator.dispatch import Cloud
from rollout.emulator.faults import Fault
from rollout.emulator.fleet import file, synthetic
from rollout.errors import ConfigError
from tests.emulator import fixtures
from tests.emulator.fixtures import NOW

HOUR_MS = 3_600_000


def observed(cloud: Cloud) -> list[ObservedInstance]:
    """All instances as a checker sees them."""
    return list(cloud.observe(NOW))


@pytest.mark.parametrize("size", [120, 600])
def test_each_region_has_some_of_everything(size: int) -> None:
    """Former key, Linux and Windows, Running and Stopped, keyless, locked, and more than one
    resource group: in every region."""
    fleet = synthetic.build(size=size, seed=3, now=NOW)
    instances = fleet.instances
    assert len(instances) == size
    for region, span in instances.spans.items():
        assert fleet.pairs.find(region, synthetic.FORMER_KEY_PAIR)
        kinds = Counter(
            (
                instances.shape_of(o).image.os_type,
                BaseStatus(instances.base[o]).name,
                bool(instances.record[o]),
                bool(instances.lock[o]),
            )
            for o in span
        )
        for kind in (
            ("linux", "RUNNING", True, False),
            ("linux", "STOPPED", True, False),
            ("linux", "RUNNING", False, False),
            ("windows", "RUNNING", False, False),
            ("windows", "STOPPED", False, False),
            ("linux", "RUNNING", True, True),
            ("linux", "STOPPED", True, True),
        ):
            assert kinds[kind] > 0, (region, kind)
        assert len({instances.shape_of(o).resource_group for o in span}) > 1


@pytest.mark.parametrize("size", [90, 120, 600])
def test_each_image_of_a_region_has_three_plain_targets(size: int) -> None:
    """With fewer, a canary could not prove whether StartTime moves there."""
    instances = synthetic.build(size=size, seed=5, now=NOW).instances
    plain = Counter(
        (shape.region.name, shape.image.image_id)
        for o in range(size)
        if (shape := instances.shape_of(o)).image.os_type == "linux"
        and shape.io_optimized
        and instances.record[o]
        and instances.lock[o] == OperationLock.NONE
        and instances.base[o] == BaseStatus.RUNNING
    )
    assert len(plain) == 9
    assert min(plain.values()) >= 3


def test_everyone_was_started_at_least_an_hour_ago() -> None:
    """So that the minute guard of a run never waits for a synthetic fleet."""
    instances = synthetic.build(size=600, seed=1, now=NOW).instances
    assert max(instances.start_ms) <= NOW - HOUR_MS
    assert all(
        created * 60_000 < start
        for created, start in zip(instances.created_minute, instances.start_ms, strict=True)
    )


def test_the_same_seed_makes_the_same_fleet() -> None:
    """Ids and all; another seed makes another."""
    one = observed(Cloud(synthetic.build(size=200, seed=1, now=NOW)))
    again = observed(Cloud(synthetic.build(size=200, seed=1, now=NOW)))
    other = observed(Cloud(synthetic.build(size=200, seed=2, now=NOW)))
    assert one == again
    assert not {s.instance for s in one} & {s.instance for s in other}


def test_ids_go_both_ways() -> None:
    """Computed ids are unique, have the prefix of their region and map back to the ordinal."""
    instances = synthetic.build(size=3_000, seed=9, now=NOW).instances
    ids = [instances.ids.id_of(o) for o in range(3_000)]
    assert len(set(ids)) == 3_000
    assert [instances.ids.ordinal_of(i) for i in ids] == list(range(3_000))
    assert ids[0].startswith("i-bp1")
    assert len(ids[0]) == 22
    strangers = ["", "i-", ids[0].upper(), ids[0] + "0", "i-bp1" + "g" * 17, "i-2ze" + ids[0][5:]]
    assert [instances.ids.ordinal_of(i) for i in strangers] == [None] * 6


def test_a_region_twice_is_refused() -> None:
    """Its instances would not be neighbours."""
    with pytest.raises(ValueError, match="there already"):
        synthetic.build(size=4, seed=1, now=NOW, regions=["cn-beijing", "cn-beijing"])


def write(path: Path, text: str) -> Path:
    """A file with that text."""
    path.write_text(text, encoding="utf-8")
    return path


def test_what_the_admin_endpoint_lists_can_be_loaded_again(tmp_path: Path) -> None:
    """JSON lines of `/_admin/instances` describe a fleet: the same ids, statuses and keys."""
    first = Cloud(synthetic.build(size=120, seed=4, now=NOW))
    lines = b"\n".join(msgspec.json.encode(s) for s in first.observe(NOW)).decode()
    again = Cloud(file.load(write(tmp_path / "f.jsonl", lines), seed=4, now=NOW))
    assert observed(again) == observed(first)


def test_csv_and_yaml_describe_fleets_too(tmp_path: Path) -> None:
    """Missing fields have defaults; rows of one region need not stand together."""
    table = write(
        tmp_path / "f.csv",
        "instance,region,os_type,status,key_pair,key_in_force,tags,locks,boots\n"
        "i-a,cn-beijing,linux,Stopped,ops,old,app=cart;tier=web,financial,7\n"
        "i-b,cn-shanghai,windows,,,,,,\n"
        "i-c,cn-beijing,,,,,,,\n",
    )
    seen = {s.instance: s for s in observed(Cloud(file.load(table, seed=1, now=NOW)))}
    assert (seen["i-a"].status, seen["i-a"].key_pair, seen["i-a"].key_in_force) == (
        "Stopped",
        "ops",
        "old",
    )
    assert seen["i-a"].boots == 7
    assert (seen["i-b"].os_type, seen["i-b"].status, seen["i-b"].key_pair) == (
        "windows",
        "Running",
        None,
    )
    assert seen["i-c"].zone == "cn-beijing-f"
    groups = write(
        tmp_path / "f.yaml",
        "- { count: 30, tags: { app: cart } }\n- { count: 5, os_type: windows }\n",
    )
    kinds = Counter(
        (s.os_type, s.key_pair) for s in observed(Cloud(file.load(groups, seed=1, now=NOW)))
    )
    assert kinds == {("linux", synthetic.FORMER_KEY_PAIR): 30, ("windows", None): 5}


PUBLIC = synthetic.ed25519_line(b"1" * 32, "me@laptop")
OTHER = synthetic.ed25519_line(b"2" * 32, "me@laptop")


@pytest.mark.parametrize(
    "name, text",
    [
        ("f.yaml", f"- {{ key_pair: mine, public_key: {PUBLIC}, count: 0 }}\n- count: 3\n"),
        ("f.yaml", f"- {{ key_pair: mine, public_key: {PUBLIC}, count: 3 }}\n"),
        ("f.csv", f"instance,key_pair,public_key\ni-1,mine,{PUBLIC}\ni-2,mine,\n"),
        (
            "f.jsonl",
            msgspec.json.encode({"key_pair": "mine", "public_key": f"{PUBLIC}\n"}).decode(),
        ),
    ],
)
def test_a_key_pair_can_be_given_its_public_key(tmp_path: Path, name: str, text: str) -> None:
    """A plan for the user's own key pair finds it in the emulated cloud, bound or not."""
    cloud = Cloud(file.load(write(tmp_path / name, text), seed=1, now=NOW))
    reply = fixtures.call(
        cloud,
        "DescribeKeyPairs",
        RegionId="cn-hangzhou",
        KeyPairName="mine",
        IncludePublicKey="true",
    )
    (pair,) = fixtures.body(reply, "DescribeKeyPairs")["KeyPairs"]["KeyPair"]
    assert pair["PublicKey"] == PUBLIC


@pytest.mark.parametrize(
    "name, text, line, word",
    [
        ("f.jsonl", '{"count":-1}', 1, "$.count"),
        ("f.jsonl", '{"boots":70000}', 1, "$.boots"),
        ("f.yaml", f"- {{ key_pair: null, public_key: {PUBLIC} }}", 1, "without a key_pair"),
        ("f.yaml", "- { key_pair: mine, public_key: ssh-rsa oops }", 1, "OpenSSH public key"),
        (
            "f.yaml",
            "\n".join(f"- {{ key_pair: k1, public_key: {line} }}" for line in (PUBLIC, OTHER)),
            2,
            "another public key",
        ),
        ("f.jsonl", '{"instance":"i-1"}\n{"instance":', 2, "truncated"),
        ("f.jsonl", '{"instance":"i-1","colour":"red"}', 1, "colour"),
        ("f.jsonl", '{"instance":"i 1"}', 1, "not an instance id"),
        ("f.jsonl", '{"instance":"i-1","status":"Released"}', 1, "not a status"),
        (
            "f.jsonl",
            '{"instance":"i-1"}\n\n{"instance":"i-2","region":"cn-beijing","status":"odd"}',
            3,
            "not a status",
        ),
        ("f.yaml", '- count: 1\n- { region: cn-beijing, name: "\\ud800" }', 2, "surrogates"),
        ("f.jsonl", '{"instance":"i-1","start_time":"noon"}', 1, "not an instant"),
        ("f.jsonl", '{"instance":"i-1","locks":["odd"]}', 1, "not a lock reason"),
        ("f.jsonl", '{"count":2000000}', 1, "more than 1000000"),
        ("f.jsonl", '{"instance":"i-1"}\n{"instance":"i-1"}', 2, "'i-1' is there twice"),
        ("f.yaml", '- { name: a }\n- { name: "\\ud800" }', 2, "surrogates"),
        ("f.jsonl", '{"instance":"i-1"}\n{}', None, "have none"),
        ("f.csv", "instance,boots\ni-1,many\n", 2, "$.boots"),
        ("f.csv", "instance,io_optimized\ni-1,maybe\n", 2, "$.io_optimized"),
        ("f.yaml", "- count: 1\n- count: [\n", 3, "YAML"),
        ("f.yaml", "count: 1", None, "list of mappings"),
        ("f.yaml", "- 1", 1, "mapping"),
        ("f.txt", "", None, ".jsonl"),
        ("missing.jsonl", None, None, "No such file"),
    ],
)
def test_an_error_in_a_fleet_file_names_its_line(
    tmp_path: Path, name: str, text: str | None, line: int | None, word: str
) -> None:
    """Code R0013, the file, the line where one is known, and what is wrong there."""
    path = tmp_path / name if text is None else write(tmp_path / name, text)
    with pytest.raises(ConfigError) as caught:
        file.load(path, seed=1, now=NOW)
    (problem,) = caught.value.problems
    assert (problem.code, word in problem.message) == ("R0013", True), problem.message
    assert problem.place is not None
    assert (problem.place.file, problem.place.line) == (str(path), line)


def test_faults_are_read_from_yaml(tmp_path: Path) -> None:
    """Name, probability, actions and one delay with its unit."""
    path = write(
        tmp_path / "faults.yaml",
        "- { fault: late_effect, probability: 0.02, actions: [RebootInstance], delay: 2s }\n"
        "- fault: throttle\n  delay: 250ms\n",
    )
    assert settings_files.load_faults(path) == (
        Fault("late_effect", 0.02, ("RebootInstance",), 2_000),
        Fault("throttle", 1.0, (), 250),
    )


@pytest.mark.parametrize(
    "text, word",
    [
        ("- fault: gremlins", "no fault 'gremlins'"),
        ("- { fault: slow, actions: [AtachKeyPair] }", "no action 'AtachKeyPair'"),
        ("- { fault: token_loop, actions: [AttachKeyPair] }", "does not apply to AttachKeyPair"),
        ("- { fault: slow, probability: 2 }", "between 0 and 1"),
        ("- { fault: slow, delay: 5 }", "delay"),
        ("- { fault: slow, often: true }", "often"),
    ],
)
def test_wrong_faults_are_refused(tmp_path: Path, text: str, word: str) -> None:
    """The complaint names the entry's line."""
    with pytest.raises(ConfigError) as caught:
        settings_files.load_faults(write(tmp_path / "faults.yaml", text))
    (problem,) = caught.value.problems
    assert word in problem.message
    assert problem.place is not None
    assert problem.place.line == 1


def test_the_oldest_possible_start_can_be_stated(tmp_path: Path) -> None:
    """An instance of 1970 was created in 1970, not before."""
    path = write(tmp_path / "f.jsonl", '{"instance":"i-1","start_time":"1970-01-02T00:00Z"}')
    seen = fixtures.row(Cloud(file.load(path, seed=1, now=NOW)), "i-1")
    assert (seen["StartTime"], seen["CreationTime"]) == ("1970-01-02T00:00Z", "1970-01-01T00:00Z")


def test_odd_texts_of_a_fleet_file_stay_data(tmp_path: Path) -> None:
    """Names and tags with quotes, controls and marks come back as they were."""
    odd = 'a"b\\\u202e<script>\u001b[31m'
    path = tmp_path / "f.jsonl"
    path.write_bytes(
        msgspec.json.encode({"instance": "i-1", "name": odd, "vpc": odd, "tags": {"k": odd}})
    )
    seen = fixtures.row(Cloud(file.load(path, seed=1, now=NOW)), "i-1")
    assert (seen["InstanceName"], seen["VpcAttributes"]["VpcId"]) == (odd, odd)
    assert seen["Tags"]["Tag"] == [{"TagKey": "k", "TagValue": odd}]


def test_the_hostile_preset_needs_no_file() -> None:
    """`--faults hostile` arms a bit of everything, each with a small probability."""
    armed = settings_files.load_faults(Path("hostile"))
    assert len(armed) > 10
    assert all(0 < fault.probability < 0.05 for fault in armed)


def test_some_instances_have_a_name_and_some_have_none(tmp_path: Path) -> None:
    """A name left out or empty is made up, before, between and behind those that are given."""
    path = write(tmp_path / "f.csv", "instance,name\ni-0,\ni-1,é\ni-2,\ni-3,web\ni-4,\n")
    cloud = Cloud(file.load(path, seed=1, now=NOW))
    names = ["ecs-0000000", "é", "ecs-0000002", "web", "ecs-0000004"]
    assert [row["InstanceName"] for row in fixtures.rows(cloud)] == names
    assert [cloud.instances.name_of(ordinal) for ordinal in range(5)] == names


def _synthetic(_: Path, size: int) -> Fleet:
    return synthetic.build(size=size, seed=1, now=NOW)


def _all_their_own(folder: Path, size: int) -> Fleet:
    """Every instance has an id, a name and a set of tags that no other has."""
    rows = (f"i-{n:020},web-{n:07},owner=team-{n};host=web-{n:07};app=cart" for n in range(size))
    path = write(folder / "f.csv", "\n".join(["instance,name,tags", *rows]))
    return file.load(path, seed=1, now=NOW)


@pytest.mark.parametrize("make", [_synthetic, _all_their_own])
def test_an_instance_costs_few_bytes(tmp_path: Path, make: Callable[[Path, int], Fleet]) -> None:
    """A million must fit, 400 bytes each at the most; what the first few bring along is apart."""
    size = 20_000
    make(tmp_path, 10)
    tracemalloc.start()
    try:
        fleet = make(tmp_path, size)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(fleet.instances) == size
    assert used / size < 300
