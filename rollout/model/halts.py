"""Reasons for which a run halts, each with its error code.

Every `Halted` event is made by `halted` here. The exit code and the text of a reason are those of
its code in `errors.CODES`. Decides nothing: the core knows when a reason applies.
"""

from __future__ import annotations

import enum
from typing import Self

from rollout.errors import CODES, Exit
from rollout.model.event import Halted


class HaltReason(enum.StrEnum):
    """Each reason as the journal spells it, and its error code."""

    DENIED = "denied", "R0403"
    CLOCK = "clock", "R0404"
    IN_DOUBT = "in_doubt", "R0501"
    INPUT = "input", "R0502"
    UNKNOWN_CODE = "unknown_code", "R0502"
    """Too many refusals with undocumented codes."""
    PROTOCOL_ANOMALY = "protocol_anomaly", "R0502"
    """A reply that no API call can cause."""
    UNREACHABLE = "unreachable", "R0503"
    FAILURES = "failures", "R0504"
    GATE = "gate", "R0508"
    LOGIN = "login", "R0528"
    """An instance of the first wave runs and refuses the new key."""
    LAST_WAVE = "last_wave", "R0616"
    """The wave that `--until-wave` names is closed."""
    GATE_SHUT = "gate_shut", "R0522"
    PAUSED = "paused", "R0509"
    """The run would wait for an operator, in a process that may not wait."""
    WINDOW = "window", "R0526"
    """The run would wait for a window, in a process that may not wait."""
    WINDOWS_OVER = "windows_over", "R0527"
    """The plan has no later window."""
    FOREIGN_KEY = "foreign_key", "R0605"
    KEY_PAIR = "key_pair", "R0606"
    DRIFT = "drift", "R0607"
    """The plan no longer fits the fleet."""
    ELSEWHERE = "elsewhere", "R0610"
    """Another operator rotates the same instances."""
    LEASE = "lease", "R0619"
    """The lease of a region expired or was taken over."""
    MARK = "mark", "R0620"
    """A run of another runs directory marked a key pair."""
    DISK = "disk", "R0801"
    LOST = "lost", "R0906"
    """The run no longer belongs to this process."""

    code: str

    def __new__(cls, reason: str, code: str) -> Self:
        """Make the member with this value, and its code as an attribute."""
        member = str.__new__(cls, reason)
        member._value_ = reason
        member.code = code
        return member

    @property
    def exit(self) -> Exit:
        """The exit code of a process whose run halted for this reason."""
        return CODES[self.code].exit

    @property
    def text(self) -> str:
        """The text of the reason."""
        return CODES[self.code].title


def halted(reason: HaltReason, detail: str = "") -> Halted:
    """Return the event for a halt; `detail` says what was found, else the reason's text does."""
    return Halted(reason.value, reason.code, int(reason.exit), detail or reason.text)
