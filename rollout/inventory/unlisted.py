"""Check with the service whether the account has regions outside the built-in list.

Called by `sources` before it reads anything in these regions.
"""

from __future__ import annotations

from collections.abc import Iterable

from rollout.ecs import refusal
from rollout.errors import Exit, InventoryError, Problem
from rollout.inventory.live import Lister
from rollout.model import regions
from rollout.model.outcome import Refused, Unknown
from rollout.model.phrase import say
from rollout.model.spec import EcsSource, Spec


async def missing(lister: Lister, named: Iterable[str]) -> frozenset[str]:
    """Return the named regions that the account does not have.

    Makes one call, or none if all are in the built-in list. Errors: AccessError if DescribeRegions
    is refused or has no reply.
    """
    unlisted = {region for region in named if not regions.is_known(region)}
    if not unlisted:
        return frozenset()
    reply = await lister.describe_regions()
    if isinstance(reply, Refused | Unknown):
        error = refusal.explain(reply, "DescribeRegions", ", ".join(sorted(unlisted)))
        raise type(error)(tuple(_with_option(problem) for problem in error.problems), error.exit)
    return frozenset(unlisted - {region.id for region in reply})


def notes(named: Iterable[str]) -> list[tuple[str, str]]:
    """Return a warning for each region outside the built-in list, for offline plans."""
    return [
        ("R0204", f"region {region} is not in the built-in list: {regions.advice(region)}")
        for region in sorted({region for region in named if not regions.is_known(region)})
    ]


def named_by(spec: Spec) -> frozenset[str]:
    """Return the regions that a spec names."""
    return frozenset(
        region
        for source in spec.inventory
        for region in (*source.regions, "" if isinstance(source, EcsSource) else source.region)
        if region
    )


def refuse(absent: Iterable[str]) -> None:
    """Raise R0204 for regions that a spec names and the account does not have."""
    problems = tuple(
        Problem(
            "R0204",
            say("the account has no region {region}", region=region),
            cure=say(
                "{advice}; --allow-unknown-region skips this check", advice=regions.advice(region)
            ),
        )
        for region in sorted(absent)
    )
    if problems:
        raise InventoryError(problems, Exit.BAD_INPUT)


def _with_option(problem: Problem) -> Problem:
    hint = say("--allow-unknown-region accepts regions outside the built-in list")
    return Problem(
        problem.code,
        problem.what,
        cure=say("{cure}; {hint}", cure=problem.cure, hint=hint) if problem.cure else hint,
        request_id=problem.request_id,
    )
