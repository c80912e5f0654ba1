"""Files name instances: every accepted form, and every invalid input with its code and line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rollout.cli.errors import rendering
from rollout.errors import Exit, InventoryError, Problem
from rollout.inventory import documents, files, reading
from rollout.inventory.gathered import Gathered
from rollout.model.instance import Instance
from rollout.model.spec import FileSource
from tests.inventory import samples
from tests.inventory.samples import line, page, read, row

A, B = "i-bp1aaaa0001", "i-bp1aaaa0002"
PEM = "-----BEGIN RSA PRIVATE KEY-----"


def problems(folder: Path, name: str, content: str | bytes, **options: Any) -> list[Problem]:
    """Return the problems of a file, whether the whole file or single rows are refused."""
    try:
        return read(folder, name, content, **options).problems
    except InventoryError as error:
        return list(error.problems) if error.exit is Exit.BAD_INPUT else []


# accepted


@pytest.mark.parametrize("strict", [True, False])
def test_a_row_of_the_api_gives_all_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, strict: bool
) -> None:
    """Block by block and value by value, the same instance is read."""
    monkeypatch.setattr(documents, "STRICT_BYTES", 10**9 if strict else 0)

    gathered = read(tmp_path, "fleet.jsonl", line() + "\n")

    assert list(gathered.instances.values()) == [samples.INSTANCE]


@pytest.mark.parametrize("strict", [True, False])
def test_silence_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, strict: bool
) -> None:
    """Nulls, empty texts and absent fields all mean that there is no value."""
    monkeypatch.setattr(documents, "STRICT_BYTES", 10**9 if strict else 0)
    bare = dict.fromkeys(("ZoneId", "OSType", "StartTime", "KeyPairName", "Status"), "")
    text = json.dumps({"InstanceId": A, "RegionId": "cn-hangzhou", **bare, "OSName": None})
    text += "\n" + json.dumps(
        {"InstanceId": B, "RegionId": "cn-hangzhou", "Tags": None, "OperationLocks": {}}
    )

    gathered = read(tmp_path, "fleet.jsonl", text)

    assert list(gathered.instances.values()) == [
        Instance(A, "1", "cn-hangzhou"),
        Instance(B, "1", "cn-hangzhou"),
    ]


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "words, region",
    [
        ({"region": "cn-shanghai"}, "cn-shanghai"),
        ({"region_id": "cn-shanghai", "region": "cn-beijing"}, "cn-shanghai"),
        ({"RegionId": "cn-shanghai", "region": "cn-beijing"}, "cn-shanghai"),
        ({"RegionId": "cn-shanghai", "region": {"name": "anything"}}, "cn-shanghai"),
        ({"RegionId": None, "region_id": "", "region": "cn-shanghai"}, "cn-shanghai"),
        ({"RegionId": ""}, "cn-hangzhou"),
    ],
)
def test_a_row_may_use_another_field_for_its_region(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: dict[str, object],
    region: str,
    *,
    strict: bool,
) -> None:
    """The region of a row takes precedence over the source's region at any position in the file."""
    monkeypatch.setattr(documents, "STRICT_BYTES", 10**9 if strict else 0)
    text = json.dumps({"InstanceId": A, **words})

    gathered = read(tmp_path, "fleet.jsonl", text, region="cn-hangzhou")

    assert [one.region for one in gathered.instances.values()] == [region]


FORMS = [
    ("jsonl", f'"{A}"\n"{B}"\n'),
    ("jsonl", f'{{"instance_id":"{A}"}}\r\n\r\n{{"id":"{B}"}}'),
    ("jsonl", f'["{A}", {{"InstanceId":"{B}"}}]'),
    ("jsonl", json.dumps(page(row(InstanceId=A))) + "\n" + json.dumps(page(row(InstanceId=B)))),
    ("json", f'["{A}", "{B}"]'),
    ("json", json.dumps([row(InstanceId=A), row(InstanceId=B)], indent=2)),
    ("json", json.dumps([{"id": A}, {"instance_id": B, "region": "cn-hangzhou"}])),
    ("json", json.dumps(page(row(InstanceId=A), row(InstanceId=B)))),
    ("json", json.dumps(page(row(InstanceId=A))) + "\n" + json.dumps(page(row(InstanceId=B)))),
    ("json", json.dumps([page(row(InstanceId=A)), page(row(InstanceId=B))])),
    ("json", f'{{"Instances": ["{A}", "{B}"]}}'),
    ("json", f' "{A}" "{B}" '),
    ("csv", f"InstanceId,RegionId\n{A},cn-hangzhou\n{B},\n"),
    ("csv", f"\ufeff实例ID,地域\r\n{A},cn-hangzhou\r\n\r\n{B},cn-hangzhou\r\n"),
    ("csv", f'Name;Instance Id\n"a;b";{A}\nc;{B}'),
    ("csv", f"instance_id\tregion\n{A}\tcn-hangzhou\n{B}"),
]


@pytest.mark.parametrize("kind,content", FORMS, ids=[f"{k} {c[:24]!r}" for k, c in FORMS])
def test_every_form_names_the_same_instances(tmp_path: Path, kind: str, content: str) -> None:
    """Ids, objects, rows and pages are read from lists, from lines, in sequence and from tables
    (B-I03).
    """
    gathered = read(tmp_path, f"fleet.{kind}", content, region="cn-hangzhou")

    assert (samples.ids(gathered), gathered.problems) == ([A, B], [])
    assert {one.region for one in gathered.instances.values()} == {"cn-hangzhou"}


def test_a_rows_own_region_wins_however_it_is_spelled(tmp_path: Path) -> None:
    """A region with another spelling next to `InstanceId` is used, not the source's region."""
    text = json.dumps({"InstanceId": A, "region": "cn-shanghai"})

    gathered = read(tmp_path, "fleet.jsonl", text, region="cn-hangzhou")

    assert gathered.instances[A].region == "cn-shanghai"


def test_a_table_gives_all_it_says(tmp_path: Path) -> None:
    """With `--offline` a table of the console gives the same instance as a row of the API."""
    heads = (
        "实例ID,地域,可用区,操作系统类型,操作系统,状态,"
        "密钥对,镜像ID,启动时间,到期时间,锁定原因,标签"
    )
    cells = (
        f"{A},cn-hangzhou,cn-hangzhou-h,linux,Ubuntu  22.04 64 bit,运行中,ops-2026q3,"
        "ubuntu_22_04_x64.vhd,2026-01-02T03:04Z,2099-12-31T15:59Z,financial,env=prod;odd:"
    )

    gathered = read(tmp_path, "fleet.csv", f"{heads}\n{cells}\n")

    assert list(gathered.instances.values()) == [samples.INSTANCE]


def test_columns_name_unknown_headings(tmp_path: Path) -> None:
    """The spec's `columns` override recognized headings; unused columns are noted (B-I06)."""
    content = f"id,机器,所在,备注\nx,{A},cn-shanghai,old\n"

    gathered = read(tmp_path, "fleet.csv", content, columns={"id": "机器", "region": "所在"})

    assert gathered.instances[A].region == "cn-shanghai"
    assert [code for code, _ in gathered.notes] == ["R0208"]
    assert "id, 备注" in gathered.notes[0][1]


def test_the_same_row_twice_is_merged(tmp_path: Path) -> None:
    """Duplicate rows are counted, and a row supplies fields that the other omits (B-I07)."""
    content = f'{line()}\n{line()}\n{{"id":"{A}"}}\n'

    gathered = read(tmp_path, "fleet.jsonl", content, region="cn-hangzhou")

    assert (gathered.merged, gathered.problems) == (2, [])
    assert gathered.instances[A] == samples.INSTANCE


def test_a_million_similar_rows_share_their_texts(tmp_path: Path) -> None:
    """Equal regions, images and tags share one object, so that memory stays small (B-I18)."""
    lines = [line(InstanceId=f"i-bp1{number:08d}") for number in range(5_000)]

    gathered = read(tmp_path, "fleet.jsonl", "\n".join(lines))

    found = list(gathered.instances.values())
    assert len(found) == 5_000
    for field in ("region", "zone", "image", "key_pair", "os_name", "tags"):
        assert len({id(getattr(one, field)) for one in found[3_000:]}) == 1, field


def test_names_and_tags_may_hold_anything(tmp_path: Path) -> None:
    """Terminal escapes, marks of other scripts and markup are accepted as data (B-I19)."""
    odd = "\x1b[31m\u202e<script>"
    content = line(Tags={"Tag": [{"TagKey": odd, "TagValue": odd}]})

    assert read(tmp_path, "fleet.jsonl", content).instances[A].tags == ((odd, odd),)


def test_a_world_writable_file_is_warned_of(tmp_path: Path) -> None:
    """A world-writable file causes a warning, because it determines the targets (B-I22)."""
    path = tmp_path / "fleet.jsonl"
    path.write_text(line())
    path.chmod(0o666)
    gathered = Gathered()

    files.read(FileSource("jsonl", path.name), gathered, account="1", project=tmp_path)

    assert [code for code, _ in gathered.notes] == ["R0116"]


# the whole file is refused


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "device", "loop"])
def test_what_is_no_file_is_an_io_error(tmp_path: Path, kind: str) -> None:
    """The reader neither waits for a FIFO nor reads a device without end (B-I01)."""
    path = tmp_path / "fleet.jsonl"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)

    with pytest.raises(InventoryError) as caught:
        files.read(FileSource("jsonl", path.name), Gathered(), account="1", project=tmp_path)

    assert caught.value.exit is Exit.IO
    assert caught.value.problems[0].code == "R0200"


WHOLE = [
    # B-I02
    ("jsonl", "", "R0206", "names no instance"),
    ("jsonl", "\n\n", "R0206", "names no instance"),
    ("json", "[]", "R0206", "names no instance"),
    ("json", '{"Instances":{"Instance":[]}}', "R0206", "names no instance"),
    ("csv", "", "R0206", "names no instance"),
    ("csv", "InstanceId\n", "R0206", "names no instance"),
    # B-I03
    ("jsonl", f'"{A}"\n'.encode() + b'"\xff"\n', "R0201", "offset 17"),
    ("csv", "实例ID\n".encode("gb18030"), "R0201", "offset 2"),
    ("json", f'["{A}"]'.encode("utf-16"), "R0201", "UTF-16"),
    ("csv", "InstanceId\n".encode("utf-16-be").join([b"\xfe\xff", b""]), "R0201", "UTF-16"),
    ("jsonl", f'"{A}\0"', "R0201", "NUL byte at offset 14"),
    # B-I05
    ("jsonl", '"' + "x" * (1024**2 + 1) + '"', "R0207", "1 MiB"),
    ("jsonl", f'"{A}"\n"' + "x" * (1024**2 + 1) + f'"\n"{B}"', "R0207", "1 MiB"),
    # B-I06
    ("csv", "name,region\na,b\n", "R0202", "no column of instance ids"),
    (
        "csv",
        f"InstanceId,region,region\n{A},1,2\n",
        "R0202",
        "two columns have the heading",
    ),
    ("csv", f"InstanceId,Tag: role\n{A},web\n", "R0202", "may contain tags or locks"),
    ("csv", f"InstanceId,实例ID\n{A},{A}\n", "R0202", "could both be the id"),
    ("csv", f'InstanceId\n"{A}\n', "R0201", "not CSV"),
]


@pytest.mark.parametrize(
    "kind,content,code,words", WHOLE, ids=[f"{row[2]} {row[0]} {row[1][:20]!r}" for row in WHOLE]
)
def test_a_file_is_refused_as_a_whole(
    tmp_path: Path, kind: str, content: str | bytes, code: str, words: str
) -> None:
    """Empty files, other encodings, exceeded limits and missing headings are one problem each."""
    (problem,) = problems(tmp_path, f"fleet.{kind}", content, region="cn-hangzhou")

    assert problem.code == code
    assert words in problem.message


def test_an_empty_file_is_accepted_where_that_is_meant(tmp_path: Path) -> None:
    """`--allow-empty` accepts an empty file and nothing else."""
    (tmp_path / "fleet.jsonl").write_text("")
    gathered = Gathered()

    source = FileSource("jsonl", "fleet.jsonl")
    files.read(source, gathered, account="1", project=tmp_path, allow_empty=True)

    assert gathered == Gathered()


def test_a_column_that_is_not_there_is_suggested(tmp_path: Path) -> None:
    """If a heading in `columns` is missing, the error suggests the existing one (B-I06)."""
    (problem,) = problems(tmp_path, "fleet.csv", f"实例编码\n{A}\n", columns={"id": "实例编号"})

    assert (problem.code, problem.help) == ("R0202", "did you mean `实例编码`?")


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size limit is checked before the first byte is read (B-I05)."""
    monkeypatch.setattr("rollout.model.limits.INVENTORY_BYTES_MAX", 3)

    (problem,) = problems(tmp_path, "fleet.jsonl", line())

    assert (problem.code, "2 GiB" in problem.message) == ("R0207", True)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """A file that changes while it is read is refused (B-I23)."""
    path = tmp_path / "fleet.jsonl"
    path.write_text(line())

    with (
        pytest.raises(InventoryError) as caught,
        reading.opened(path, "fleet.jsonl") as source,
        path.open("a") as other,
    ):
        source.text()
        other.write(line())
        other.flush()

    assert caught.value.problems[0].code == "R0209"


# single rows are refused

ROWS = [
    ("jsonl", f'{{"InstanceId":"{A}","region":["cn-hangzhou"]}}', "R0201", 1),
    # B-I04
    ("jsonl", line()[:-9], "R0201", 1),
    ("jsonl", f'"{A}"\n{line(InstanceId=B)} x', "R0201", 2),
    ("jsonl", f'"{A}"\n\n{{"InstanceId":"{B}","CPU":NaN}}', "R0201", 3),
    ("jsonl", f'{{"InstanceId":"{B}","CPU":-Infinity}}', "R0201", 1),
    ("jsonl", f'{{"InstanceId":"{A}","InstanceId":"{B}"}}', "R0201", 1),
    ("json", f'[\n"{A}",\n"{B}"', "R0201", 1),
    ("json", f'["{A}"]\nx', "R0201", 2),
    ("json", f'["{A}",]', "R0201", 1),
    ("json", f'["{A}"\n"{B}"]', "R0201", 2),
    ("json", f'[\n{{"id":"{A}","a":1,"a":1}}]', "R0201", 2),
    ("json", f'[{{"id":"{A}","a":NaN}}]', "R0201", 1),
    ("json", '{"Instances":{"Instance":7}}', "R0201", 1),
    ("json", '{"Code":"Forbidden.RAM","Message":"no"}', "R0201", 1),
    ("json", '{"Name":"x"}', "R0201", 1),
    ("json", "[7]", "R0201", 1),
    ("json", '[{"InstanceId":7}]', "R0201", 1),
    ("jsonl", line(Tags=["env"]), "R0217", 1),
    ("jsonl", line(ExpiredTime="next year"), "R0217", 1),
    ("jsonl", line(IoOptimized="maybe"), "R0217", 1),
    ("jsonl", line(OperationLocks={"Since": 1}), "R0217", 1),
    ("jsonl", line(tags={"env": "test"}), "R0217", 1),
    ("jsonl", line(tag_list=["a=b"]), "R0217", 1),
    ("jsonl", line(TagSets=["a=b"]), "R0217", 1),
    ("csv", f"InstanceId,Tags\n{A},bastion\n", "R0217", 2),
    # B-I05
    ("jsonl", "[" * 65 + "]" * 65, "R0207", 1),
    ("jsonl", '{"a":' * 65 + "1" + "}" * 65, "R0207", 1),
    ("jsonl", "[" * 5_000 + "]" * 5_000, "R0207", 1),
    ("json", "[" * 65 + "]" * 65, "R0207", 1),
    # B-I08
    ("jsonl", f'"{A}"\n"i-bp1 x"', "R0203", 2),
    ("jsonl", '"i-*"', "R0203", 1),
    ("jsonl", '""', "R0203", 1),
    ("json", '["i-' + "a" * 300 + '"]', "R0203", 1),
    ("json", '["i-b\u04401aaaa"]', "R0203", 1),
    ("csv", f"InstanceId\n{A}\n=cmd|' /C calc'!A0\n", "R0203", 3),
    ("csv", f"InstanceId\n{A};{B}\n", "R0203", 2),
    ("csv", f"Name,InstanceId\nx,{A}\ny\n", "R0203", 3),
    ("csv", f"Name,InstanceId\na,b,{A}\n", "R0201", 2),
    # B-I09
    ("jsonl", line(RegionId="cn hangzhou"), "R0204", 1),
    ("jsonl", line(RegionId="mars"), "R0204", 1),
    ("jsonl", line(ZoneId="cn-shanghai-b"), "R0204", 1),
    ("jsonl", line(ZoneId="nowhere"), "R0204", 1),
    # B-I07
    ("jsonl", f"{line()}\n{line(OSType='windows')}", "R0205", 2),
    ("jsonl", f"{line()}\n{line(RegionId='cn-shanghai', ZoneId='')}", "R0205", 2),
    ("jsonl", f"{line()}\n{line(Status='Stopped')}", "R0205", 2),
    # B-I21
    ("jsonl", f'{{"InstanceId":"{A}","Note":"LTAI5tSecretSecretSecret"}}', "R0112", 1),
    ("jsonl", f'"{A}"\n{{"InstanceId":"{B}","UserData":"{PEM}"}}', "R0112", 2),
    ("json", f'[\n{{"InstanceId":"{A}","Note":"STS.NSecretSecretSecretSecret"}}]', "R0112", 2),
    ("csv", f'InstanceId,Note\n{A},"{PEM}\nSecret"\n', "R0112", 3),
]


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    "kind,content,code,at", ROWS, ids=[f"{row[2]} {row[0]} {row[1][:30]!r}" for row in ROWS]
)
def test_a_bad_row_is_reported_at_its_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    content: str,
    code: str,
    at: int,
    *,
    fast: bool,
) -> None:
    """Each problem has its code and line at any position in a file, and repeats no secret."""
    is_doubled = content.startswith(f'{{"InstanceId":"{A}","InstanceId"')
    is_odd = "tag_list" in content or "TagSets" in content
    if fast and not is_doubled and not is_odd:  # these are found only by the strict reader
        monkeypatch.setattr(documents, "STRICT_BYTES", 0)

    found = problems(tmp_path, f"fleet.{kind}", content, region="cn-hangzhou")

    assert [(each.code, each.place and each.place.line) for each in found] == [(code, at)]
    assert "Secret" not in rendering.render(InventoryError(tuple(found)))


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_a_row_without_any_region_is_refused(tmp_path: Path, kind: str) -> None:
    """A row without a region in a source without one is refused, not guessed (B-I09)."""
    content = f"InstanceId\n{A}\n" if kind == "csv" else f'"{A}"'

    (problem,) = problems(tmp_path, f"fleet.{kind}", content)

    assert problem.code == "R0204"


def test_all_bad_rows_are_reported_at_once(tmp_path: Path) -> None:
    """One reading reports all problems, and keeps the valid rows."""
    content = f'"{A}"\n"x"\n{{"id":7}}\n"{B}"\n"i-1 "\n'

    gathered = read(tmp_path, "fleet.jsonl", content, region="cn-hangzhou")

    lines = [each.place.line for each in gathered.problems if each.place]
    assert (lines, samples.ids(gathered)) == ([2, 3, 5], [A, B])


@pytest.mark.parametrize("around", [0, 4_000])
def test_a_page_with_an_id_of_its_own_is_a_page(tmp_path: Path, around: int) -> None:
    """A value among plain rows is read like a value alone, near the start and far down."""
    lines = [line(InstanceId=f"i-bp1{number:08d}") for number in range(2 * around)]
    lines.insert(around, line(InstanceId=A, Instances=[row(InstanceId=B)]))

    found = samples.ids(read(tmp_path, "fleet.jsonl", "\n".join(lines) + "\n"))

    assert (A in found, B in found, len(found)) == (False, True, 2 * around + 1)


@pytest.mark.parametrize("where", [0, 1_500])
def test_a_doubled_key_among_plain_rows_is_found(tmp_path: Path, where: int) -> None:
    """Decoding whole blocks does not hide a row with a duplicate key."""
    lines = [line(InstanceId=f"i-bp1{number:08d}") for number in range(1_600)]
    lines[where] = lines[where].replace('"Status"', '"OSName":"Windows","Status"')

    (problem,) = problems(tmp_path, "fleet.jsonl", "\n".join(lines) + "\n")

    assert (problem.code, problem.place and problem.place.line) == ("R0201", where + 1)


def test_a_wrong_file_is_given_up(tmp_path: Path) -> None:
    """Reading stops after a thousand invalid rows."""
    with pytest.raises(InventoryError) as caught:
        read(tmp_path, "fleet.jsonl", '"x"\n' * 5_000, region="cn-hangzhou")

    assert len(caught.value.problems) == 1_000


def test_a_bad_row_far_down_has_its_line(tmp_path: Path) -> None:
    """Line numbers are correct after blocks that were decoded at once."""
    lines = [line(InstanceId=f"i-bp1{number:08d}") for number in range(8_000)]
    lines[6_321] = lines[6_321].replace("cn-hangzhou-h", "cn-shanghai-b")
    lines[7_000] = lines[6_999]

    gathered = read(tmp_path, "fleet.jsonl", "\n".join(lines))

    assert [str(each.place) for each in gathered.problems] == ["fleet.jsonl:6322"]
    assert (len(gathered.instances), gathered.merged) == (7_998, 1)


@pytest.mark.parametrize("content", [f"{line()} {line(InstanceId=B)}\n", f"{line()},\n"])
def test_one_line_holds_one_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """The fast reader refuses whatever the strict reader refuses."""
    monkeypatch.setattr(documents, "STRICT_BYTES", 0)

    assert [each.code for each in problems(tmp_path, "fleet.jsonl", content)] == ["R0201"]
