"""Every benchmark runs at a small size. The test does not check speed."""

import importlib

import pytest

from benchmarks.__main__ import NAMES
from benchmarks.report import Row, Size, table


@pytest.mark.parametrize("name", NAMES)
def test_runs(name: str) -> None:
    """Each script returns figures at its smallest size, and every figure can be printed."""
    rows: list[Row] = importlib.import_module(f"benchmarks.{name}").run(Size.TINY)
    assert rows
    assert all(row.value >= 0 for row in rows)
    assert all(row.what in table(name, rows) for row in rows)


@pytest.mark.parametrize(
    "row, verdict",
    [
        (Row("a", 2, least=1), "ok"),
        (Row("a", 2, least=3), "MISSED"),
        (Row("a", 2, most=1), "MISSED"),
        (Row("a", 2, least=2, most=2), "ok"),
        (Row("a", 2), ""),
    ],
)
def test_a_bound_is_kept_or_missed(row: Row, verdict: str) -> None:
    """A figure on its bound passes, a figure past its bound misses, and a figure without a bound
    has no verdict.
    """
    assert row.verdict == verdict
