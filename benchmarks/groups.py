"""The budgets' claim: 20,000 groups of caps 1 to 3 cost hardly more than one group of the fleet,
and take hardly longer than the caps allow.

Both plans are made and run in virtual time, as by `engine`; each in a process of its own.
"""

from __future__ import annotations

from benchmarks import engine, measure
from benchmarks.report import Row, Size

_SIZES = {Size.TINY: 300, Size.DEFAULT: 10_000, Size.FULL: 100_000}
_CPU = 1.5
_MEMORY = 1.3
_MAKESPAN = 1.10


def run(size: Size) -> list[Row]:
    """Compare CPU and memory of a whole rotation, and its makespan with its lower bound.

    The bound is that of the fleet's cap: a group of at most 7 with half of it down takes three
    rounds, the fleet ten. In a large fleet the limit of exposed instances is lower than that cap,
    with one group too, so only both makespans are compared.
    """
    count = _SIZES[size]
    one, many = (
        measure.in_child("benchmarks.rotation:rotate", size=count, calls="single", grouped=grouped)
        for grouped in (False, True)
    )
    bounded = size is not Size.TINY
    return [
        Row("many groups: done", many.value["done"], least=count, most=count),
        Row("many groups: groups", many.value["groups"]),
        Row(f"one group: CPU an instance of {count:,}", one.value["cpu_s"] / count * 1e6, "µs"),
        Row(f"many groups: CPU an instance of {count:,}", many.value["cpu_s"] / count * 1e6, "µs"),
        Row(
            "CPU, many groups to one",
            many.value["cpu_s"] / one.value["cpu_s"],
            most=_CPU if bounded else None,
        ),
        Row(
            "memory, many groups to one",
            many.peak_mib / one.peak_mib,
            most=_MEMORY if bounded else None,
            peak_mib=many.peak_mib,
        ),
        Row("calls, many groups to one", _calls(many) / _calls(one)),
        Row(
            "many groups: makespan to the bound of caps and a cold lane",
            many.value["makespan_ms"] / sum(engine.bound_ms(count, many.value["cap"], "single")),
            most=_MAKESPAN if size is Size.DEFAULT else None,
        ),
        Row(
            "makespan, many groups to one",
            many.value["makespan_ms"] / one.value["makespan_ms"],
            most=_MAKESPAN if size is Size.FULL else None,
        ),
    ]


def _calls(took: measure.Measured) -> int:
    return sum(took.value["calls"].values())
