"""What reaches a run from outside: replies, commands of operators, signals, a disk that is full.

Made by the engines, taken in by `Loop.step`. Data only, so that an engine may carry it.
"""

from __future__ import annotations

import msgspec

from rollout.model.command import Observation
from rollout.model.event import LaneRecovered, LaneSlowed, OperatorCommand
from rollout.model.gate import GateReply
from rollout.model.observation import Described, KeyDescribed, StatusesDescribed
from rollout.model.outcome import Answer, Refused, Unknown
from rollout.model.probe import HostKeySeen, LoginSeen, Probe
from rollout.model.time import Instant

Reply = Described | StatusesDescribed | KeyDescribed | GateReply | Refused | Unknown
"""The reply to an observation of instances, of statuses, of a key pair, to a question of a gate, or
the lack of one.
"""


class CallEnded(msgspec.Struct, frozen=True):
    """The call of intent `n` was answered, lost or not sent."""

    n: int
    answer: Answer


class ObservationEnded(msgspec.Struct, frozen=True):
    """An observation sent at `sent_at`, by this machine's clock, was answered, refused or lost."""

    observation: Observation
    reply: Reply
    sent_at: Instant


class ProbeEnded(msgspec.Struct, frozen=True):
    """A probe of an instance ended."""

    probe: Probe
    seen: HostKeySeen | LoginSeen


class Signal(msgspec.Struct, frozen=True):
    """The process received SIGINT or SIGTERM."""

    name: str


class LowSpace(msgspec.Struct, frozen=True):
    """The disk of the journal is nearly full."""


class LeaseHeld(msgspec.Struct, frozen=True):
    """The process holds the leases of its sites. No call may leave after `send_by`."""

    send_by: Instant


class LeaseLost(msgspec.Struct, frozen=True):
    """The lease of a site expired or was taken over: nothing may be sent any more."""

    detail: str


class MarkReplaced(msgspec.Struct, frozen=True):
    """A run of another runs directory marked a key pair: nothing may be sent any more."""

    detail: str


Arrival = (
    CallEnded
    | ObservationEnded
    | ProbeEnded
    | LaneSlowed
    | LaneRecovered
    | OperatorCommand
    | Signal
    | LowSpace
    | LeaseHeld
    | LeaseLost
    | MarkReplaced
)
