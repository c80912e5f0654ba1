"""Tables: where a row ends, and which cells it has."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.errors import InventoryError
from rollout.inventory import reading
from tests.inventory import samples

A, B = "i-bp1aaaa0001", "i-bp1aaaa0002"
NO_ROW_ENDS = ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]
"""Characters that only `str.splitlines` treats as line ends."""

HYPOTHESIS = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("mark", NO_ROW_ENDS, ids=[f"U+{ord(mark):04X}" for mark in NO_ROW_ENDS])
def test_only_cr_and_lf_end_a_row(tmp_path: Path, mark: str) -> None:
    """An id in a note behind another separator does not start a row (RFC 4180)."""
    content = f"InstanceId,RegionId,Note\n{A},cn-hangzhou,twin of{mark}{B},cn-hangzhou,x\n"

    found = samples.read(tmp_path, "fleet.csv", content.replace(f"{B},cn-hangzhou,x", B))
    wider = samples.read(tmp_path, "wide.csv", content)

    assert samples.ids(found) == [A]
    assert B not in wider.instances


@pytest.mark.parametrize("mark", NO_ROW_ENDS, ids=[f"U+{ord(mark):04X}" for mark in NO_ROW_ENDS])
def test_other_separators_do_not_split_a_line_of_jsonl(tmp_path: Path, mark: str) -> None:
    """In JSONL these characters are part of a text or invalid JSON, and never end a value."""
    content = f'{{"InstanceId":"{A}","Note":"twin of{mark}","RegionId":"cn-hangzhou"}}\n'

    found = samples.read(tmp_path, "fleet.jsonl", content)

    assert samples.ids(found) in ([A], []) and bool(found.instances) is not bool(found.problems)


@pytest.mark.parametrize("block", [1, 2, 7, 64])
@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_rows_end_the_same_wherever_a_block_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, block: int
) -> None:
    """LF, CRLF and a lone CR end rows; inside quotes they are text."""
    monkeypatch.setattr(reading, "BLOCK_BYTES", block)
    rows = ["InstanceId,RegionId,Note", f'{A},cn-hangzhou,"a{end}{B},b"', f"{B},cn-hangzhou,c"]

    found = samples.read(tmp_path, "fleet.csv", end.join(rows) + end)

    assert (samples.ids(found), found.problems) == ([A, B], [])


def test_a_long_table_with_cr_only_is_read_block_by_block(tmp_path: Path) -> None:
    """Files of old spreadsheets have only CR, and are not read as one line of 1 MiB."""
    ids = [f"i-bp1{number:08d}" for number in range(60_000)]

    found = samples.read(tmp_path, "fleet.csv", "\r".join(["id", *ids]), region="cn-hangzhou")

    assert samples.ids(found) == ids


CELL = st.text(
    st.one_of(
        st.sampled_from([*NO_ROW_ENDS, "\r", "\n", '"', ","]),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    max_size=8,
)


@HYPOTHESIS
@given(notes=st.lists(CELL, min_size=1, max_size=5), block=st.integers(1, 40))
def test_a_table_has_as_many_rows_as_were_written(
    tmp_path: Path, notes: list[str], block: int
) -> None:
    """Each row is one instance, whatever unused columns contain."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(["InstanceId", "Note", "RegionId"])
    ids = [f"i-bp1bbbb{number:04d}" for number in range(len(notes))]
    writer.writerows(zip(ids, notes, ["cn-hangzhou"] * len(ids), strict=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", block)
        try:
            found = samples.read(tmp_path, "fleet.csv", text.getvalue())
        except InventoryError:
            raise AssertionError(text.getvalue()) from None

    assert samples.ids(found) == ids
