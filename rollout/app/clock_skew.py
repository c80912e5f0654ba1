"""Compare this machine's clock with the service's.

Called by `connect` after the first reply. Pure: the caller corrects the clock.
"""

from __future__ import annotations

from typing import Final

from rollout.errors import AccessError
from rollout.model.event import ClockSkew
from rollout.model.phrase import Phrase, Wording, say
from rollout.model.time import HOUR, MINUTE, Duration, format_instant

WARNED_MS: Final = 1 * MINUTE
"""From this difference on, a warning is reported and the run uses the service's clock."""
REFUSED_MS: Final = 24 * HOUR
"""A larger difference is refused: one of the clocks is wrong by days."""


def check(found: ClockSkew, *, allowed: bool) -> Wording:
    """Return the warning, empty for a small difference. AccessError R0409 above 24 hours.

    `allowed`: the operator accepts a difference above 24 hours.
    """
    ahead_ms = found.service - found.local
    if abs(ahead_ms) <= WARNED_MS:
        return ""
    if abs(ahead_ms) > REFUSED_MS and not allowed:
        raise AccessError.of(
            "R0409",
            sentence(found),
            help=say(
                "set this machine's clock (NTP), or add --allow-clock-skew to use the service's"
            ),
        )
    return say("{difference}. The service's time is used", difference=sentence(found))


def sentence(found: ClockSkew) -> Phrase:
    """Return how far this machine's clock differs from the service's."""
    ahead_ms = found.service - found.local
    span, here, there = _span(abs(ahead_ms)), *map(format_instant, (found.local, found.service))
    if ahead_ms > 0:
        return say(
            "this machine's clock is {span} behind the service's: {here} here, {there} there",
            span=span,
            here=here,
            there=there,
        )
    return say(
        "this machine's clock is {span} ahead of the service's: {here} here, {there} there",
        span=span,
        here=here,
        there=there,
    )


def _span(span: Duration) -> str:
    """Return a difference in its two largest units."""
    days, rest = divmod(span, 24 * HOUR)
    hours, rest = divmod(rest, HOUR)
    if days:
        return f"{days} d {hours} h"
    minutes, rest = divmod(rest, MINUTE)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest // 1000} s"
