"""Cells and tables as written by consoles, spreadsheets and command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.errors import InventoryError
from rollout.inventory import cells
from rollout.model import region_names, regions
from tests.inventory.samples import ids, read

A, B = "i-bp1aaaa0001", "i-bp1aaaa0002"
HEAD = "实例ID,地域\n"

TABLES = [
    ("region name, Chinese", f"{HEAD}{A},华东1（杭州）\n"),
    ("region name, narrow marks", f"{HEAD}{A},华东 1 (杭州)\n"),
    ("region name, English", f"Instance ID,Region\n{A},China (Hangzhou)\n"),
    ("tab behind the id", f"{HEAD}{A}\t,cn-hangzhou\n"),
    ("tab behind each cell", f'"实例ID\t","地域\t"\n"{A}\t","cn-hangzhou\t"\n'),
    ("no-break space", f"{HEAD}\u00a0{A},cn-hangzhou\n"),
    ("zero-width space", f"{HEAD}\u200b{A},cn-hangzhou\n"),
    ("apostrophe", f"{HEAD}'{A},cn-hangzhou\n"),
    ("formula", f'{HEAD}"=""{A}""",cn-hangzhou\n'),
    ("id and name", f"实例ID/名称,地域\n{A}/web-01,cn-hangzhou\n"),
    ("id and name on two lines", f'实例ID/名称,地域\n"{A}\nweb-01",cn-hangzhou\n'),
    ("sep=,", f"sep=,\n{HEAD}{A},cn-hangzhou\n"),
    ("sep=;", f"sep=;\n实例ID;地域\n{A};cn-hangzhou\n"),
    ("a title", f"ECS 实例列表\n\n{HEAD}{A},cn-hangzhou\n"),
    ("a total", f"{HEAD}{A},cn-hangzhou\n合计,1\n"),
    ("a total in English", f"{HEAD}{A},cn-hangzhou\nTotal: 1,\n"),
    ("a total with a unit", f"{HEAD}{A},cn-hangzhou\n共计,1 台\n"),
    ("a name of a zone", f"实例ID,地域,可用区\n{A},cn-hangzhou,杭州 可用区 K\n"),
    ("a doubled heading nobody uses", f"实例ID,地域,备注,备注\n{A},cn-hangzhou,a,b\n"),
    ("two BOMs", f"\ufeff\ufeff{HEAD}{A},cn-hangzhou\n"),
    ("empty cells at the end", f"{HEAD}{A},cn-hangzhou,,\n"),
    (
        "a table of the command line",
        f"InstanceId    | RegionId\n----------    | --------\n{A} | cn-hangzhou\n",
    ),
    ("a table of Markdown", f"| InstanceId | Region |\n|---|---|\n| {A} | cn-hangzhou |\n"),
    ("a list without a heading", f"{A}\n"),
    ("a list with a title", f"machines of today\n\n{A}\n"),
]


@pytest.mark.parametrize("content", [row[1] for row in TABLES], ids=[row[0] for row in TABLES])
def test_a_table_as_people_have_it_is_read(tmp_path: Path, content: str) -> None:
    """Exactly the one instance is read, with everything that a console or spreadsheet adds to its
    id.
    """
    found = read(tmp_path, "fleet.csv", content, region="cn-hangzhou")

    assert (ids(found), found.problems) == ([A], [])
    assert found.instances[A].region == "cn-hangzhou"


@pytest.mark.parametrize(
    "content",
    [
        f"{HEAD}{A}/{B},cn-hangzhou\n",
        f"{HEAD}{A} {B},cn-hangzhou\n",
        f"{HEAD}{A}/web-01,cn-hangzhou\n",
        f"{HEAD}{A} web-01,cn-hangzhou\n",
        f"实例ID/名称,地域\n{A}/{B},cn-hangzhou\n",
        f"{HEAD}web-01/{A},cn-hangzhou\n",
        f"{HEAD}copy of {A},cn-hangzhou\n",
        f"{HEAD}sum of {A},cn-hangzhou\n",
        "名称,实例ID\ntotal-web,web-01\n",
        "名称,实例ID\n合计,web-01\n",
        f"{HEAD}{A},Hangzhou or Beijing\n",
    ],
)
def test_a_cell_with_two_meanings_is_refused(tmp_path: Path, content: str) -> None:
    """Two ids in a cell, a name before the id, rows before the headings and two regions are
    refused.
    """
    found = read(tmp_path, "fleet.csv", content)

    assert found.problems and not found.instances


def test_rows_before_the_headings_are_no_titles(tmp_path: Path) -> None:
    """Only lines with one text may precede the headings, because others may be instances."""
    with pytest.raises(InventoryError, match="R0202"):
        read(tmp_path, "fleet.csv", f"a,b\n{HEAD}{A},cn-hangzhou\n")


def test_an_error_names_line_column_and_value(tmp_path: Path) -> None:
    """An error shows the text as in the spreadsheet, with control characters escaped."""
    found = read(tmp_path, "fleet.csv", f"{HEAD}{A},cn-hangzhou\ni-bp1\x1b[31m x,cn-hangzhou\n")

    (problem,) = found.problems
    assert str(problem.place) == "fleet.csv:3"
    assert "`i-bp1\\u{1b}[31m x`" in problem.message
    assert "column `实例ID`" in problem.message


@pytest.mark.parametrize(
    "heading, cell, value",
    [
        ("标签", "env:prod role:bastion", "`env:prod role:bastion`"),
        ("到期时间", "next\x1b year", "`next\\u{1b} year`"),
        ("地域", "Mars", "`Mars`"),
    ],
)
def test_any_value_that_is_refused_is_named_with_its_column(
    tmp_path: Path, heading: str, cell: str, value: str
) -> None:
    """Tags, expiry and region are read too."""
    found = read(tmp_path, "fleet.csv", f"id,{heading}\n{A},{cell}\n", region="cn-hangzhou")

    (problem,) = found.problems
    assert value in problem.message and f"column `{heading}`" in problem.message


def test_every_known_region_has_names_of_its_own() -> None:
    """A console name belongs to exactly one region, and every name has a region of the list."""
    for region, names in region_names._NAMES.items():
        assert regions.is_known(region)
        assert {region_names.region_of(name) for name in names} == {region}


@pytest.mark.parametrize("text", ["", "  ", "i-1", "=1+1", "a'b", "’"])
def test_what_is_no_decoration_is_kept(text: str) -> None:
    """Only characters that spreadsheets add are removed."""
    assert cells.clean(text) == text.strip()
