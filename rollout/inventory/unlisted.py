"""Regions that the built-in list does not name: whether the account has them.

Called by `sources` before it reads anything in them. The list ages; the service knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from rollout.ecs import refusal
from rollout.ecs.replies import Region
from rollout.errors import Exit, InventoryError, Problem
from rollout.model import regions
from rollout.model.outcome import Refused, Unknown
from rollout.model.spec import EcsSource, Spec


class Regions(Protocol):
    """What this needs of a client."""

    async def describe_regions(self) -> tuple[Region, ...] | Refused | Unknown:
        """The regions this account can use."""


async def missing(client: Regions, named: Iterable[str]) -> frozenset[str]:
    """Return those of the named regions that the account does not have.

    Makes one call, and none where all are in the built-in list. Errors: AccessError where the
    service refuses DescribeRegions or cannot be reached.
    """
    unlisted = {region for region in named if not regions.is_known(region)}
    if not unlisted:
        return frozenset()
    answer = await client.describe_regions()
    if isinstance(answer, Refused | Unknown):
        error = refusal.explain(answer, "DescribeRegions", ", ".join(sorted(unlisted)))
        raise type(error)(tuple(_with_way_out(problem) for problem in error.problems), error.exit)
    return frozenset(unlisted - {region.id for region in answer})


def notes(named: Iterable[str]) -> list[tuple[str, str]]:
    """Return a warning for each unlisted region, where the service is not asked."""
    return [
        ("R0204", f"region {region} is not one that the program knows: {regions.advice(region)}")
        for region in sorted({region for region in named if not regions.is_known(region)})
    ]


def named_by(spec: Spec) -> frozenset[str]:
    """Return the regions that stand in a spec."""
    return frozenset(
        region
        for source in spec.inventory
        for region in (*source.regions, "" if isinstance(source, EcsSource) else source.region)
        if region
    )


def refuse(absent: Iterable[str]) -> None:
    """Refuse regions that a spec names and the account does not have. R0204."""
    problems = tuple(
        Problem(
            "R0204",
            f"the account has no region {region}",
            help=f"{regions.advice(region)}; --allow-unknown-region skips this check",
        )
        for region in sorted(absent)
    )
    if problems:
        raise InventoryError(problems, Exit.BAD_INPUT)


def _with_way_out(problem: Problem) -> Problem:
    hint = "--allow-unknown-region accepts regions that the program does not know"
    return Problem(
        problem.code,
        problem.message,
        help=f"{problem.help}; {hint}" if problem.help else hint,
        request_id=problem.request_id,
    )
