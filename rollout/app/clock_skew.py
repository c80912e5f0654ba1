"""Compare this machine's clock with the service's.

Called by `connect` after the first reply. Pure: the caller corrects the clock.
"""

from __future__ import annotations

from typing import Final

from rollout.errors import AccessError
from rollout.model.event import ClockSkew
from rollout.model.time import HOUR, MINUTE, Duration, format_instant

WARNED_MS: Final = 1 * MINUTE
"""From this difference on, a warning is reported and the run uses the service's clock."""
REFUSED_MS: Final = 24 * HOUR
"""A larger difference is refused: one of the clocks is wrong by days."""


def check(found: ClockSkew, *, allowed: bool) -> str:
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
            help="set this machine's clock (NTP), or add --allow-clock-skew to use the service's",
        )
    return f"{sentence(found)}. The service's time is used"


def sentence(found: ClockSkew) -> str:
    """Return how far this machine's clock differs from the service's."""
    ahead_ms = found.service - found.local
    side = "behind" if ahead_ms > 0 else "ahead of"
    return (
        f"this machine's clock is {_span(abs(ahead_ms))} {side} the service's: "
        f"{format_instant(found.local)} here, {format_instant(found.service)} there"
    )


def _span(span: Duration) -> str:
    """Return a difference in its two largest units."""
    days, rest = divmod(span, 24 * HOUR)
    hours, rest = divmod(rest, HOUR)
    if days:
        return f"{days} d {hours} h"
    minutes, rest = divmod(rest, MINUTE)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest // 1000} s"
