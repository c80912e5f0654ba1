"""Print notices of a use case: warnings, messages, and calls that wait for a reply."""

from __future__ import annotations

import sys
from typing import Final

from rollout import logs
from rollout.app.notices import Notices, WaitingCall
from rollout.cli.language import tr
from rollout.cli.terminal import Terminal, write
from rollout.errors import Problem
from rollout.model.phrase import Wording, say
from rollout.model.time import SECOND, Instant, format_instant

LINE_EVERY_MS: Final = 10 * SECOND
REGIONS_SHOWN: Final = 3
_CLEAR = "\r\x1b[K"


class TerminalNotices(Notices):
    """Show a waiting call in one line on a terminal, elsewhere in a log line every 10 s."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._next: Instant = 0
        self._drawn = False

    def warn(self, problem: Problem) -> None:
        """Print a warning to stderr."""
        self._terminal.warn(problem)

    def say(self, text: Wording) -> None:
        """Print a message to stderr."""
        self._terminal.say(text)

    def waiting(self, call: WaitingCall | None, now: Instant) -> None:
        """Show the call if a line is due; without a call, erase the line on the terminal."""
        if call is None:
            if self._drawn:
                self._drawn = False
                write(sys.stderr, _CLEAR, end="")
        elif self._terminal.live:
            self._drawn = True
            write(sys.stderr, _CLEAR + logs.redact(line(call))[: self._terminal.width - 1], end="")
        elif now >= self._next:
            self._next = now + LINE_EVERY_MS
            logs.say("api.waiting", level="info", **fields(call))


def line(call: WaitingCall) -> str:
    """Return the line for a terminal."""
    since, until = (format_instant(at)[11:19] for at in (call.since, call.until))
    action: Wording = call.action
    if call.regions:
        action = say("{action} in {regions}", action=action, regions=_regions(call))
    text = tr(
        "waiting for {action} since {since}, until {until} UTC: {cause}",
        action=action,
        since=since,
        until=until,
        cause=call.cause,
    )
    return tr("{text}, tried {tries}×", text=text, tries=call.tries) if call.tries else text


def fields(call: WaitingCall) -> dict[str, object]:
    """Return the fields of the log line."""
    return {
        "action": call.action,
        "region": _regions(call),
        "cause": call.cause,
        "tries": call.tries,
        "since": format_instant(call.since),
        "until": format_instant(call.until),
    }


def _regions(call: WaitingCall) -> str:
    """Return the regions as text, the first few by name."""
    more = len(call.regions) - REGIONS_SHOWN
    text = ", ".join(call.regions[:REGIONS_SHOWN])
    return f"{text} and {more} more" if more > 0 else text
