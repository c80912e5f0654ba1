"""Any content of an inventory file is read or refused, without a crash and without a lost id."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rollout.errors import InventoryError
from rollout.inventory.gathered import Gathered
from rollout.model import instance
from tests.fuzz import edited, fuzzed, json_values
from tests.inventory import samples
from tests.inventory.samples import line, page, row

IDS = [f"i-bp1cccc{number:04d}" for number in range(6)]
NAMES = st.sampled_from([*samples.ROW, "tags", "id", "region", "Tag", "locks", "body", "ids"])
CSV = (
    "\ufeff实例ID,地域,操作系统类型,状态,密钥对,标签,锁定原因,备注\r\n"
    f'{IDS[0]},cn-hangzhou,linux,运行中,former,"env:prod,role:web",,"a\nb"\r\n'
    f"{IDS[1]},cn-hangzhou,linux,Running,former,,-,x\r\n"
)


def read(folder: Path, kind: str, content: bytes) -> Gathered | None:
    """Return the instances that a file names, or None if the whole file is refused."""
    try:
        return samples.read(folder, f"fleet.{kind}", content, region="cn-hangzhou")
    except InventoryError:
        return None


def check(found: Gathered | None) -> None:
    """Check that a plan can contain the instances: known ids and valid texts."""
    for one in (found.instances if found else {}).values():
        assert instance.is_id(one.id)
        json.dumps([one.tags, one.locks, one.key_pair, one.os_name], ensure_ascii=False).encode()


@fuzzed
@given(edited(CSV))
def test_no_table_crashes_the_reader(tmp_path: Path, content: bytes) -> None:
    """Random bytes at any position of a table."""
    check(read(tmp_path, "csv", content))


@fuzzed
@given(edited(json.dumps([row(), page(row(InstanceId=IDS[0])), IDS[1]], ensure_ascii=False)))
def test_no_json_crashes_the_reader(tmp_path: Path, content: bytes) -> None:
    """Random bytes at any position of a JSON file."""
    check(read(tmp_path, "json", content))


@fuzzed
@given(edited(line() + "\n" + json.dumps(page(row(InstanceId=IDS[0]))) + f'\n"{IDS[1]}"\n'))
def test_no_jsonl_crashes_the_reader(tmp_path: Path, content: bytes) -> None:
    """Random bytes at any position of a JSONL file."""
    check(read(tmp_path, "jsonl", content))


@fuzzed
@given(st.lists(json_values(NAMES), max_size=4), st.sampled_from(["json", "jsonl"]))
def test_no_value_crashes_the_reader(tmp_path: Path, values: list[Any], kind: str) -> None:
    """Values of any form under the names that rows have."""
    lines = [json.dumps(value) for value in values]
    content = "\n".join(lines) if kind == "jsonl" else f"[{','.join(lines)}]"

    check(read(tmp_path, kind, content.encode()))


@fuzzed
@given(
    st.lists(st.dictionaries(NAMES, json_values(NAMES), max_size=5), min_size=1, max_size=5),
    st.sampled_from(["lines", "list", "page", "pages"]),
)
def test_no_row_is_lost_in_silence(tmp_path: Path, rows: list[dict[str, Any]], form: str) -> None:
    """Each id in the file is named, or the file is refused with a problem."""
    named = [
        {**{name: value for name, value in fields.items() if name != "id"}, "InstanceId": each}
        for each, fields in zip(IDS, rows, strict=False)
    ]
    content = {
        "lines": "\n".join(json.dumps(each) for each in named),
        "list": json.dumps(named),
        "page": json.dumps(page(*named)),
        "pages": json.dumps([page(each) for each in named]),
    }[form]

    found = read(tmp_path, "jsonl" if form == "lines" else "json", content.encode())

    if found is not None and not found.problems:
        assert set(found.instances) >= set(IDS[: len(named)])


ANSWERED = [*sorted(set(samples.ROW) - {"InstanceId", "RegionId", "ZoneId"}), "tags", "TagSet"]
"""Fields that a live plan reads from the service."""


@fuzzed
@given(
    st.lists(
        st.dictionaries(st.sampled_from(ANSWERED), json_values(NAMES), max_size=5),
        min_size=1,
        max_size=5,
    )
)
def test_a_column_that_is_read_from_the_service_refuses_no_live_plan(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    """For a live plan every id is named, whatever other fields a row contains."""
    named = [
        {**fields, "InstanceId": each, "RegionId": "cn-hangzhou"}
        for each, fields in zip(IDS, rows, strict=False)
    ]
    lines = [json.dumps(each, allow_nan=False) if _is_json(each) else "" for each in named]
    wanted = [each["InstanceId"] for each, text in zip(named, lines, strict=True) if text]
    assume(wanted)

    found = samples.read(tmp_path, "fleet.jsonl", "\n".join(lines), live=True)

    assert (samples.ids(found), found.problems) == (wanted, [])


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@fuzzed
@given(edited("\n".join(["# ids", *IDS]) + "\n"))
def test_no_list_crashes_the_reader(tmp_path: Path, content: bytes) -> None:
    """Random bytes at any position of a list of ids."""
    check(read(tmp_path, "ids", content))


CORPUS = [
    (
        "half of a pair in a tag",
        "jsonl",
        line(Tags={"Tag": [{"TagKey": "a", "TagValue": "\ud83d"}]}),
    ),
    ("half of a pair in an unused field", "jsonl", line(InstanceName="cut \ud83d")),
    ("half of a pair in a name", "json", json.dumps([{**row(), "\ud83d": 1}])),
    ("half of a pair as an id", "json", json.dumps(["\ud83d"])),
    ("half of a pair in a region", "json", json.dumps([row(RegionId="cn-\ud83d")])),
    ("bytes that are no text", "jsonl", b'{"InstanceId":"i-\xed\xa0\xbd"}'),
]


@pytest.mark.parametrize("kind, content", [x[1:] for x in CORPUS], ids=[x[0] for x in CORPUS])
def test_texts_that_were_cut_inside_a_character(
    tmp_path: Path, kind: str, content: str | bytes
) -> None:
    """Forms that are refused if they are needed, and ignored if they are not."""
    raw = content.encode() if isinstance(content, str) else content

    found = read(tmp_path, kind, raw)

    check(found)
    if b"InstanceName" in raw and b"cut" in raw:
        assert found is not None and samples.ids(found) == [samples.INSTANCE.id]
