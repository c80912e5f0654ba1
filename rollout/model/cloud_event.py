"""Events of a run for other programs: CloudEvents 1.0 with one form of `data` for each type.

Created by `journal.projection`; the JSON Schema of events is generated from these types. A later
version only adds types and optional fields.
"""

from __future__ import annotations

import msgspec

FORMAT_VERSION = "1.0"
"""Version of the stream, which its first event names."""


class EventData(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the data of all events. A field that is empty or 0 may be left out."""


class StreamVersion(EventData, frozen=True):
    """First event of every stream: its format, and the program that wrote the stream."""

    format_version: str
    tool: str


class RunBegan(EventData, frozen=True):
    """The run started, or another process continued it: `epoch` counts the processes."""

    name: str
    plan_digest: str
    targets: int
    epoch: int
    by: str
    emulator: bool = False


class RunStopped(EventData, frozen=True):
    """The run halted, or an operator or the machine stopped its process."""

    reason: str
    by: str = ""
    code: str = ""
    exit: int = 0
    detail: str = ""


class RunEnded(EventData, frozen=True):
    """The run is closed: instances of the inventory by class, and the exit code."""

    counts: dict[str, int]
    exit: int


class WaveEvent(EventData, frozen=True):
    """A wave started or closed, or the gate after it is shut or opened.

    `waits` says what the next wave waits for; `by` who opened a manual gate.
    """

    wave: str
    targets: int
    waits: str = ""
    by: str = ""


class GateReplied(EventData, frozen=True):
    """The answer to one question of a gate: `open` or why not. `question` is its position in
    `gates` of the spec, from 0.
    """

    wave: str
    question: int
    answer: str
    text: str = ""


class WindowEvent(EventData, frozen=True):
    """A window opened and closes at `until`, or closed and the next opens at `until`, in UTC. Empty
    if no further window follows.
    """

    at: str
    until: str = ""


class PlanApproved(EventData, frozen=True):
    """The key with this id signed the plan of the run."""

    key: str


class CellEvent(EventData, frozen=True):
    """The instances of one cell may now be changed, or none of them is unfinished."""

    wave: str
    account: str
    region: str
    targets: int


class AttachResult(EventData, frozen=True):
    """The result of an attach for one instance: done, refused or unknown."""

    instance: str
    outcome: str
    code: str = ""


class BatchAttached(EventData, frozen=True):
    """The reply to one AttachKeyPair call. Only later observations prove the attaches."""

    call: int
    region: str
    key_pair: str
    results: tuple[AttachResult, ...]
    request_id: str = ""


class InstanceMoved(EventData, frozen=True):
    """One instance moved to another phase. `evidence` names the observed fact, `cause` why it
    failed; `request_id` is that of the call. `down` is true if it failed and was not Running in
    time after its boot; every other failed instance serves.
    """

    instance: str
    region: str
    wave: str
    from_: str = msgspec.field(name="from")
    to: str
    evidence: str = ""
    cause: str = ""
    request_id: str = ""
    down: bool = False


class InstanceNoted(EventData, frozen=True):
    """A fact about one instance: held, released, drifted, or restarted by another operator; or a
    member of groups that is no target went down without the run, or is Running again.
    """

    instance: str
    region: str
    reason: str
    kind: str = ""


class KeyEvent(EventData, frozen=True):
    """The key pair of a region is missing or has another public key."""

    region: str
    key_pair: str
    detail: str


class LaneEvent(EventData, frozen=True):
    """The service throttles an action in a region, or no longer does."""

    region: str
    action: str
    per_minute: int = 0
    throttled: int = 0
    until: str = ""


class OperatorActed(EventData, frozen=True):
    """A command of an operator, and where it came from."""

    command: str
    by: str
    source: str
    reason: str = ""
    instance: str = ""
    resolution: str = ""


TYPES: dict[str, type[EventData]] = {
    "rollout.version": StreamVersion,
    "rollout.run.started": RunBegan,
    "rollout.run.resumed": RunBegan,
    "rollout.run.paused": OperatorActed,
    "rollout.run.aborted": OperatorActed,
    "rollout.run.halted": RunStopped,
    "rollout.run.drained": RunStopped,
    "rollout.run.closed": RunEnded,
    "rollout.wave.started": WaveEvent,
    "rollout.wave.closed": WaveEvent,
    "rollout.gate.shut": WaveEvent,
    "rollout.gate.opened": WaveEvent,
    "rollout.gate.answered": GateReplied,
    "rollout.window.opened": WindowEvent,
    "rollout.window.closed": WindowEvent,
    "rollout.plan.approved": PlanApproved,
    "rollout.cell.opened": CellEvent,
    "rollout.cell.closed": CellEvent,
    "rollout.batch.attached": BatchAttached,
    "rollout.instance.phase": InstanceMoved,
    "rollout.instance.failed": InstanceMoved,
    "rollout.instance.in_doubt": InstanceMoved,
    "rollout.instance.resolved": InstanceMoved,
    "rollout.instance.stranded": InstanceMoved,
    "rollout.instance.held": InstanceNoted,
    "rollout.instance.released": InstanceNoted,
    "rollout.instance.restarted_elsewhere": InstanceNoted,
    "rollout.member.down": InstanceNoted,
    "rollout.member.running": InstanceNoted,
    "rollout.drift.found": InstanceNoted,
    "rollout.key.changed": KeyEvent,
    "rollout.lane.throttled": LaneEvent,
    "rollout.lane.recovered": LaneEvent,
    "rollout.operator.command": OperatorActed,
}
"""Each type of event with the form of its data."""


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `id` is unique in the run; `source` is `/rollout/RUN`; `time` is RFC 3339 UTC."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    time: str
    data: EventData

    def about(self, instance: str) -> bool:
        """Return whether the event is about this instance."""
        if isinstance(self.data, BatchAttached):
            return any(one.instance == instance for one in self.data.results)
        return getattr(self.data, "instance", "") == instance
